/** What the log tells of a broker: who comes and goes. */
import { reasonName } from "../../core/mod.ts";
import type { BrokerServer } from "../broker-server.ts";
import type { RecordingEnd } from "../record/mod.ts";
import type { Log } from "./log.ts";

/** Logs who comes and goes (info) and what they subscribe to (debug). */
export function logEvents(broker: BrokerServer, log: Log): void {
  broker.on("error", ({ error }) => {
    log.error("a part outside the broker failed", { error });
  });
  // A level that is not written costs nothing.
  if (log.has("warn")) {
    broker.on("refused", ({ clientId, reason, info }) => {
      log.warn("refused", { clientId, remote: info.remote, reason: reasonName(reason) });
    });
  }
  if (log.has("info")) logConnections(broker, log);
  if (!log.has("debug")) return;
  broker.on("subscribed", ({ clientId, filter, qos }) => {
    log.debug("subscribed", { clientId, filter, qos });
  });
  broker.on("unsubscribed", ({ clientId, filter }) => {
    log.debug("unsubscribed", { clientId, filter });
  });
}

function logConnections(broker: BrokerServer, log: Log): void {
  broker.on("connected", ({ clientId, level, info, username, sessionPresent }) => {
    const { transport, remote } = info;
    // `protocol`, for `level` is how much a line matters.
    const fields = { clientId, protocol: level, transport, remote, username, sessionPresent };
    log.info("connected", fields);
  });
  broker.on("disconnected", ({ clientId, reason }) => {
    log.info("disconnected", { clientId, reason: reasonName(reason) });
  });
}

/** Says that the recording ended before the broker. */
export function logRecording(end: RecordingEnd, log: Log): void {
  if (end.cause === "full")
    log.warn("the recording is full, and ended", { bytesMax: end.bytesMax });
  else if (end.cause === "failed")
    log.error("the recording failed, and ended", { error: end.error });
}
