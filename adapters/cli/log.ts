/** The log: one JSON object a line, on standard error. */
import { destination, type Logger, pino } from "pino";
import { reasonName } from "../../core/mod.ts";
import type { BrokerServer } from "../broker-server.ts";

export const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Written at once, so that nothing is lost when the process ends. */
export function createLogger(level: LogLevel): Logger {
  return pino({ level, base: null }, destination({ fd: 2, sync: true }));
}

/** Logs who comes and goes (info) and what they subscribe to (debug). */
export function logEvents(broker: BrokerServer, log: Logger): void {
  broker.on("connected", ({ clientId, level, info, username, sessionPresent }) => {
    const { transport, remote } = info;
    log.info({ clientId, level, transport, remote, username, sessionPresent }, "connected");
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
