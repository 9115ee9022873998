/** Logs the events of a broker: connections and refusals. */
import type { RecoveryCounts } from "../../core/mod.ts";
import { Reason, reasonName, Table } from "../../core/mod.ts";
import type { BrokerEvents, BrokerServer } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, monotonicMillis, setTimeout } from "../captured.ts";
import type { RecordingEnd } from "../record/mod.ts";
import type { Log } from "./log.ts";
import { RateLimit } from "./rate-limit.ts";

/** Logs the store (error, warn), refusals (warn), connections that begin and end (info), and subscriptions (debug). */
export function logEvents(broker: BrokerServer, log: Log): void {
  broker.on("error", ({ error }) => {
    log.error("a listener or function failed", { error });
  });
  logStore(broker, log);
  const lost = new RateLimit((count) =>
    log.error("log lines about lost messages were left out", { count }),
  );
  log.beforeEnd(() => lost.end());
  broker.on("messageLost", ({ clientId, number }) => {
    if (lost.allows(clientId))
      log.error("queued message is not in the store", { clientId, number });
  });
  // A level that is not logged costs nothing.
  if (log.has("warn")) logRefusals(broker, log);
  if (log.has("info")) logConnections(broker, log);
  if (!log.has("debug")) return;
  broker.on("subscribed", ({ clientId, filter, qos }) => {
    log.debug("subscribed", { clientId, filter: shortened(filter), qos });
  });
  broker.on("unsubscribed", ({ clientId, filter }) => {
    log.debug("unsubscribed", { clientId, filter: shortened(filter) });
  });
}

/** Logs that the store is full, a reminder while it stays full, and that it has room again. */
function logStore(broker: BrokerServer, log: Log): void {
  let reminder: Timer | undefined;
  broker.on("storeFull", ({ error }) => {
    log.error("the store is full", { error });
    const began = monotonicMillis();
    const remind = (): void => {
      log.error("the store is still full", { fullMillis: Math.round(monotonicMillis() - began) });
      reminder = setTimeout(remind, REMINDER_MILLIS);
    };
    reminder = setTimeout(remind, REMINDER_MILLIS);
  });
  const end = (): void => clearTimeout(reminder);
  broker.on("storeRecovered", ({ fullMillis }) => {
    end();
    log.warn("the store has room again", { fullMillis });
  });
  log.beforeEnd(end);
}

function logConnections(broker: BrokerServer, log: Log): void {
  broker.on("connected", ({ clientId, level, isBridge, info, username, sessionPresent }) => {
    const { transport, remote } = info;
    // The name is `protocol`, because `level` is the log level.
    const fields = { clientId, protocol: level, transport, remote, username, sessionPresent };
    log.info("connected", isBridge ? { ...fields, isBridge } : fields);
  });
  broker.on("disconnected", ({ clientId, reason }) => {
    log.info("disconnected", { clientId, reason: reasonName(reason) });
  });
  const limit = new RateLimit((count) =>
    log.info("log lines about connections were left out", { count }),
  );
  log.beforeEnd(() => limit.end());
  broker.on("refused", (event) => {
    if (isHarmless(event) && limit.allows(hostOf(event.info.remote))) {
      log.info(nameOf(event), fieldsOf(event));
    }
  });
}

function logRefusals(broker: BrokerServer, log: Log): void {
  const limit = new RateLimit((count) =>
    log.warn("log lines about refusals were left out", { count }),
  );
  log.beforeEnd(() => limit.end());
  broker.on("refused", (event) => {
    if (isHarmless(event)) return;
    const { clientId, info } = event;
    if (limit.allows(`${hostOf(info.remote)} ${clientId}`))
      log.warn("CONNECT refused", fieldsOf(event));
  });
  broker.on("denied", ({ clientId, info, action, topic, reason }) => {
    const remote = info?.remote;
    if (!limit.allows(clientId === "" && remote !== undefined ? hostOf(remote) : clientId)) return;
    const fields = { clientId, remote, topic: shortened(topic), reason: reasonName(reason) };
    log.warn(DENIED[action], fields);
  });
}

type Refused = BrokerEvents["refused"];

/** Whether the broker refused nothing: a health check, a port scan, or a client that closed before CONNACK. */
function isHarmless({ hasConnect, reason }: Refused): boolean {
  return !hasConnect || reason === Reason.Unspecified;
}

function nameOf({ hasConnect, reason }: Refused): string {
  if (hasConnect) return "closed before CONNACK";
  if (reason === Reason.Unspecified) return "closed before CONNECT";
  return reason === Reason.MaximumConnectTime ? "no CONNECT in time" : "sent no CONNECT";
}

function fieldsOf({ clientId, info, reason }: Refused): Readonly<Record<string, string>> {
  const { remote } = info;
  return { ...(clientId === "" ? {} : { clientId }), remote, reason: reasonName(reason) };
}

/** The address of a peer without its port, which differs for each connection. */
function hostOf(remote: string): string {
  return remote.replace(/:\d+$/, "");
}

function shortened(topic: string): string {
  return topic.length <= TOPIC_LENGTH_MAX
    ? topic
    : `${topic.slice(0, TOPIC_LENGTH_MAX)}… (${topic.length} characters)`;
}

const DENIED: Readonly<Record<BrokerEvents["denied"]["action"], string>> = {
  subscribe: "subscription refused",
  publish: "publish refused",
  retain: "message not retained",
  will: "will refused",
};
const TOPIC_LENGTH_MAX = 1000;
/** While the store is full, the log says so this often. */
const REMINDER_MILLIS = 60_000;

/** Logs what was recovered from the store, and what was damaged. */
export function logRecovery({ recovered, dropped }: RecoveryCounts, log: Log): void {
  const byName = (counts: RecoveryCounts["recovered"]): Readonly<Record<string, number>> =>
    Object.fromEntries(
      Object.entries(Table).flatMap(([name, table]) =>
        counts[table] === 0 ? [] : [[camelCase(name), counts[table]]],
      ),
    );
  const restored = byName(recovered);
  if (Object.keys(restored).length > 0) log.info("recovered", restored);
  const damaged = byName(dropped);
  if (Object.keys(damaged).length > 0)
    log.error("damaged records of the store were dropped", damaged);
}

function camelCase(name: string): string {
  return `${name[0]!.toLowerCase()}${name.slice(1)}Records`;
}

/** Logs that the recording ended before the broker did. */
export function logRecording(end: RecordingEnd, log: Log): void {
  if (end.cause === "full")
    log.warn("the recording reached its maximum size and ended", { bytesMax: end.bytesMax });
  else if (end.cause === "failed")
    log.error("the recording failed and ended", { error: end.error });
}
