/**
 * The log: one JSON object a line, on standard error, with the field names and levels of pino, so that what
 * reads those reads these.
 *
 * Written here in a few lines because pino reads the environment as it loads, for which Deno asks leave, and
 * because loading it was an eighth of the time the command takes to start.
 */
import { reasonName } from "../../core/mod.ts";
import type { BrokerServer } from "../broker-server.ts";

export const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields of a line, beside `level`, `time` and `msg`; an error is a field `err`. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines of its level and of those before it in `LOG_LEVELS`. */
export class Log {
  readonly #levelMin: number;
  readonly #write: (line: string) => void;

  constructor(level: LogLevel, write: (line: string) => void) {
    this.#levelMin = numberOf[level];
    this.#write = write;
  }

  debug(fields: LogFields, message: string): void {
    this.#line("debug", fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.#line("info", fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.#line("warn", fields, message);
  }

  error(error: unknown, message: string): void {
    this.#line("error", { err: described(error) }, message);
  }

  #line(level: LogLevel, fields: LogFields, msg: string): void {
    const number = numberOf[level];
    if (number < this.#levelMin) return;
    this.#write(`${JSON.stringify({ level: number, time: Date.now(), ...fields, msg })}\n`);
  }
}

/** A log on standard error. Each line is written at once, so that none is lost when the process ends. */
export function createLog(level: LogLevel): Log {
  // Who reads the log may go; that is no reason for the broker to go too.
  process.stderr.on("error", () => {});
  return new Log(level, (line) => void process.stderr.write(line));
}

/** Logs who comes and goes (info) and what they subscribe to (debug). */
export function logEvents(broker: BrokerServer, log: Log): void {
  broker.on("connected", ({ clientId, level, info, username, sessionPresent }) => {
    const { transport, remote } = info;
    // `protocol`, for `level` is how much a line matters.
    log.info(
      { clientId, protocol: level, transport, remote, username, sessionPresent },
      "connected",
    );
  });
  broker.on("disconnected", ({ clientId, reason }) => {
    log.info({ clientId, reason: reasonName(reason) }, "disconnected");
  });
  broker.on("refused", ({ clientId, reason, info }) => {
    log.warn({ clientId, remote: info.remote, reason: reasonName(reason) }, "refused");
  });
  broker.on("subscribed", ({ clientId, filter, qos }) => {
    log.debug({ clientId, filter, qos }, "subscribed");
  });
  broker.on("unsubscribed", ({ clientId, filter }) => {
    log.debug({ clientId, filter }, "unsubscribed");
  });
  broker.on("error", ({ error }) => log.error(error, "a part outside the broker failed"));
}

const numberOf: Readonly<Record<LogLevel, number>> = {
  silent: Number.POSITIVE_INFINITY,
  fatal: 60,
  error: 50,
  warn: 40,
  info: 30,
  debug: 20,
  trace: 10,
};

function described(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  return { type: error.name, message: error.message, stack: error.stack };
}
