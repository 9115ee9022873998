/**
 * The log: one JSON object a line, on standard error.
 *
 * It is no library's, because a line costs less than a fifth of what it costs by one, and a line is written for every
 * connection that comes and goes.
 */
import { isoTime, unixMillis } from "../captured.ts";
import { LogOutput } from "./log-output.ts";
import { standardError } from "./standard-error.ts";

export const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What a line tells beside its message. An `error` may be anything that was thrown. */
export type LogFields = Readonly<Record<string, unknown>>;

export class Log {
  readonly #rank: number;
  readonly #output: LogOutput;

  constructor(level: LogLevel, output: LogOutput) {
    this.#rank = LOG_LEVELS.indexOf(level);
    this.#output = output;
  }

  /** Whether lines of this level are written. */
  has(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= this.#rank;
  }

  fatal(message: string, fields: LogFields = {}): void {
    this.#write("fatal", message, fields);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#write("error", message, fields);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#write("warn", message, fields);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#write("info", message, fields);
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#write("debug", message, fields);
  }

  /** Resolves when every line is written, or will not be, because nobody reads; to be called last. */
  end(): Promise<void> {
    return this.#output.end();
  }

  #write(level: LogLevel, message: string, fields: LogFields): void {
    if (this.has(level)) this.#output.push(lineOf(level, message, fields), level === "fatal");
  }
}

/** The log of this process, which is written whole also where the process ends by an error that nobody catches. */
export function createLog(level: LogLevel): Log {
  const output = new LogOutput(standardError(), (count) =>
    lineOf("warn", "log lines were lost because standard error was not read", { count }),
  );
  const log = new Log(level, output);
  process.on("uncaughtExceptionMonitor", (error) => {
    log.fatal("uncaught exception", { error });
    // Deno then says no "exit".
    output.flush();
  });
  if ("Bun" in globalThis) {
    // Bun does not tell the monitor of rejections.
    process.on("unhandledRejection", (error) => {
      throw error;
    });
  }
  process.on("exit", () => output.flush());
  return log;
}

function lineOf(level: LogLevel, message: string, fields: LogFields): string {
  const head = `{"@timestamp":"${timestamp()}","level":"${level.toUpperCase()}","message":`;
  const told = "error" in fields ? { ...fields, error: plainError(fields["error"]) } : fields;
  const rest = JSON.stringify(told).slice(1);
  return `${head}${JSON.stringify(message)},"logger":"${NAME}"${rest === "}" ? "" : ","}${rest}\n`;
}

/** An error as JSON can say it, and so what caused it. */
function plainError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack, cause } = error;
  const { code } = error as { readonly code?: unknown };
  return {
    ...{ name, message, stack },
    ...(typeof code === "string" ? { code } : {}),
    ...(cause === undefined || depth === CAUSES_MAX ? {} : { cause: plainError(cause, depth + 1) }),
  };
}

/** Now. Many lines are written within one millisecond. */
function timestamp(): string {
  const millis = unixMillis();
  if (millis !== lastMillis) {
    lastMillis = millis;
    lastTimestamp = isoTime(millis);
  }
  return lastTimestamp;
}

let lastMillis = -1;
let lastTimestamp = "";
const NAME = "sansmq";
const CAUSES_MAX = 5;
