/**
 * The log: one JSON object a line, on standard error.
 *
 * LogTape, because it runs alike on Node, Bun and Deno, and on Deno asks leave for nothing.
 */
import { configureSync, getJsonLinesFormatter, getLogger, type Logger } from "@logtape/logtape";
import { reasonName } from "../../core/mod.ts";
import type { BrokerServer } from "../broker-server.ts";
import type { RecordingEnd } from "../record/mod.ts";

export const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The log of this process. Each line is written at once, so that none is lost when the process ends. */
export function createLog(level: LogLevel): Logger {
  // Who reads the log may go; that is no reason for the broker to go too.
  process.stderr.on("error", () => {});
  const toLine = getJsonLinesFormatter({ properties: "flatten", message: "rendered" });
  configureSync({
    sinks: { stderr: (record) => void process.stderr.write(toLine(record)) },
    loggers: [
      { category: NAME, lowestLevel: lowestLevels[level], sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
  return getLogger(NAME);
}

/** Logs who comes and goes (info) and what they subscribe to (debug). */
export function logEvents(broker: BrokerServer, log: Logger): void {
  broker.on("connected", ({ clientId, level, info, username, sessionPresent }) => {
    const { transport, remote } = info;
    // `protocol`, for `level` is how much a line matters.
    const fields = { clientId, protocol: level, transport, remote, username, sessionPresent };
    log.info("connected", fields);
  });
  broker.on("disconnected", ({ clientId, reason }) => {
    log.info("disconnected", { clientId, reason: reasonName(reason) });
  });
  broker.on("refused", ({ clientId, reason, info }) => {
    log.warn("refused", { clientId, remote: info.remote, reason: reasonName(reason) });
  });
  broker.on("subscribed", ({ clientId, filter, qos }) => {
    log.debug("subscribed", { clientId, filter, qos });
  });
  broker.on("unsubscribed", ({ clientId, filter }) => {
    log.debug("unsubscribed", { clientId, filter });
  });
  broker.on("error", ({ error }) => {
    log.error("a part outside the broker failed", { error });
  });
}

/** Says that the recording ended before the broker. */
export function logRecording(end: RecordingEnd, log: Logger): void {
  if (end.cause === "full")
    log.warn("the recording is full, and ended", { bytesMax: end.bytesMax });
  else if (end.cause === "failed")
    log.error("the recording failed, and ended", { error: end.error });
}

const NAME = "sansmq";
const lowestLevels = {
  silent: null,
  fatal: "fatal",
  error: "error",
  warn: "warning",
  info: "info",
  debug: "debug",
  trace: "trace",
} as const;
