/** The deadlines of a connection: for its CONNECT, for its keep alive, and for taking bytes. */
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { Connection } from "../connection/connection.ts";
import { Parked, Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { Reason } from "../reason.ts";
import { endConnection } from "./transitions.ts";

/** A deadline of the connection may have passed: ends the connection, or sets the next deadline. */
export function handleDeadline(context: BrokerContext, connection: Connection): void {
  const { limits, now } = context;
  if (connection.isDetached) {
    // Its DISCONNECT could not be sent in time.
    endConnection(context, connection, "flushed", connection.endReason);
    return;
  }
  // The client may be sending while the broker does not read. Deviates from MQTT 3.1.1 §3.1.2.10:
  // keep alive is suspended while parked.
  if (connection.parked !== 0) connection.lastSeen = now;
  const isDecisionPending = (connection.parked & Parked.Decision) !== 0;
  const connectDeadline =
    connection.stage === Stage.Opened
      ? (isDecisionPending ? now : connection.openedAt) + limits.connectMillisMax
      : NEVER;
  const stallDeadline =
    connection.stalledAt < 0 ? NEVER : connection.stalledAt + limits.stallMillisMax;
  const keepAliveDeadline =
    connection.stage === Stage.Connected && connection.keepAliveMillis > 0
      ? connection.lastSeen + connection.keepAliveMillis
      : NEVER;
  if (connectDeadline <= now) {
    endConnection(context, connection, "connectTimeout", Reason.MaximumConnectTime);
  } else if (stallDeadline <= now) {
    endConnection(context, connection, "stalled", Reason.QuotaExceeded);
  } else if (keepAliveDeadline <= now) {
    endConnection(context, connection, "keepAliveTimeout", Reason.KeepAliveTimeout);
  } else {
    const next = Math.min(connectDeadline, stallDeadline, keepAliveDeadline) as Millis;
    if (next !== NEVER) context.deadlines.set(connection.slot, next);
  }
}
