/**
 * The log: one JSON object per line, on standard error.
 *
 * It uses no library, because a line costs less than a fifth of a library's line, and every connection writes lines when it
 * begins and ends.
 */
import { isoTime, unixMillis } from "../captured.ts";
import { LogOutput } from "./log-output.ts";
import { standardError } from "./standard-error.ts";

export const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The fields of a line beside its message. An `error` may be any thrown value. */
export type LogFields = Readonly<Record<string, unknown>>;

export class Log {
  readonly #rank: number;
  readonly #output: LogOutput;
  readonly #beforeEnd: (() => void)[] = [];

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

  /** `writeLast` writes its last lines when the process is about to end, in order or by an error. It may be called twice. */
  beforeEnd(writeLast: () => void): void {
    this.#beforeEnd.push(writeLast);
  }

  /** Calls the functions of `beforeEnd`. */
  writeLast(): void {
    for (const writeLast of this.#beforeEnd) writeLast();
  }

  /** Resolves when all lines are written, or after `waitMillisMax` if standard error is not read. Call it last. */
  end(waitMillisMax: number): Promise<void> {
    this.writeLast();
    return this.#output.end(waitMillisMax);
  }

  #write(level: LogLevel, message: string, fields: LogFields): void {
    if (this.has(level)) this.#output.push(lineOf(level, message, fields), level === "fatal");
  }
}

/** The log of this process. All lines are written even if the process ends by an uncaught error. */
export function createLog(level: LogLevel): Log {
  const output = new LogOutput(standardError(), (count) =>
    lineOf("warn", "log lines were lost because standard error was not read", { count }),
  );
  const log = new Log(level, output);
  process.on("uncaughtExceptionMonitor", (error) => {
    log.writeLast();
    log.fatal("uncaught exception", { error });
    // Deno emits no "exit" in this case. The runtime would print the error too, and Bun and Deno would wait for the reader.
    if (!output.flush()) process.exit(1);
  });
  if ("Bun" in globalThis) {
    // Bun does not pass rejections to the monitor.
    process.on("unhandledRejection", (error) => {
      throw error;
    });
  }
  process.on("exit", () => {
    log.writeLast();
    output.flush();
  });
  return log;
}

function lineOf(level: LogLevel, message: string, fields: LogFields): string {
  const head = `{"@timestamp":"${timestamp()}","level":"${level.toUpperCase()}","message":`;
  const plain = "error" in fields ? { ...fields, error: plainError(fields["error"]) } : fields;
  const rest = JSON.stringify(plain).slice(1);
  return `${head}${JSON.stringify(message)},"logger":"${NAME}"${rest === "}" ? "" : ","}${rest}\n`;
}

/** An error and its causes as plain data for JSON. */
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

/** The current time. It is cached, because many lines are written within one millisecond. */
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
