/** What a connection may be too late for: its CONNECT, its keep alive, taking the bytes that wait. */
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import { Reason } from "../reason.ts";
import type { Connection } from "./connection.ts";
import { Parked, Stage } from "./connection.ts";
import { close, fail } from "./end.ts";

/** A deadline has passed, or may have: ends the connection, or sets the next. */
export function handleDeadline(context: BrokerContext, connection: Connection, now: Millis): void {
  const { limits } = context;
  if (connection.hasLeft) {
    // Its DISCONNECT could not be sent.
    close(context, connection, connection.endReason, now);
    return;
  }
  // While we are the ones who do not read, it is not the client's silence.
  // Deviates from MQTT 3.1.1 §3.1.2.10: keep alive is suspended while parked.
  if (connection.parked !== 0) connection.lastSeen = now;
  const isAsked = (connection.parked & Parked.Decision) !== 0;
  const connectBy =
    connection.stage === Stage.Opened
      ? (isAsked ? now : connection.openedAt) + limits.connectMillisMax
      : NEVER;
  const takeBy = connection.stalledAt < 0 ? NEVER : connection.stalledAt + limits.stallMillisMax;
  const aliveBy =
    connection.stage === Stage.Connected && connection.keepAliveMillis > 0
      ? connection.lastSeen + connection.keepAliveMillis
      : NEVER;
  if (connectBy <= now) {
    fail(context, connection, Reason.MaximumConnectTime, now, Counter.closedConnectTimeout);
  } else if (takeBy <= now) {
    fail(context, connection, Reason.QuotaExceeded, now, Counter.closedStalled);
  } else if (aliveBy <= now) {
    fail(context, connection, Reason.KeepAliveTimeout, now); // [MQTT311-3.1.2-24]
  } else {
    const next = Math.min(connectBy, takeBy, aliveBy) as Millis;
    if (next !== NEVER) context.deadlines.set(connection.slot, next);
  }
}
