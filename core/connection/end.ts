/** Every way a connection ends, and what becomes of its session and its will. */
import type { Millis } from "../boundary.ts";
import { EffectKind } from "../boundary.ts";
import { encodeConnack } from "../codec/encode.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { connectReturnCode, Reason } from "../reason.ts";
import type { Session } from "../session/session.ts";
import { answerNow, PACKET } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { Stage } from "./connection.ts";
import type { Parts } from "./parts.ts";
import { publishMessage } from "./publish-message.ts";

/**
 * Ends a connection at once for what its peer did, counted by cause; its will is published. Always true:
 * the packet that did it needs no more handling.
 */
export function fail(
  parts: Parts,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
  counter: number = counterOf(reason),
): true {
  parts.counters[counter]!++;
  end(parts, connection, reason, now);
  parts.effect(EffectKind.Abort, connection, reason);
  return true;
}

/**
 * Answers a CONNECT with a refusal and ends the connection once that has been polled; without an answer
 * where the client's version has none for `reason`. Always true, like `fail`.
 */
export function refuse(
  parts: Parts,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): true {
  parts.counters[Counter.connectsRefused]!++;
  const returnCode = connectReturnCode(reason);
  if (returnCode < 0) return fail(parts, connection, reason, now);
  connection.endReason = reason;
  connection.stage = Stage.Closing;
  connection.packets.push(encodeConnack(false, returnCode)); // [MQTT311-3.2.2-4]
  answerNow(parts, connection, PACKET);
  return true; // [MQTT311-3.2.2-5]
}

/** Ends a connection in order, for a reason that is not its peer's fault; its will is published. */
export function close(parts: Parts, connection: Connection, reason: ReasonCode, now: Millis): void {
  end(parts, connection, reason, now);
  parts.effect(EffectKind.Close, connection, reason);
}

/** DISCONNECT: the will is discarded [MQTT311-3.1.2-10] [MQTT311-3.14.4-3]. */
export function handleDisconnect(parts: Parts, connection: Connection, now: Millis): void {
  dropWill(parts, connection);
  close(parts, connection, Reason.Success, now);
}

/** The connection is nobody's any more: its session goes on without it, or ends; its will is published. */
export function end(parts: Parts, connection: Connection, reason: ReasonCode, now: Millis): void {
  if (connection.stage === Stage.Ended) return;
  connection.stage = Stage.Ended;
  connection.endReason = reason;
  dropInput(parts, connection);
  parts.gated.delete(connection);
  parts.awaiting.delete(connection);
  parts.deadlines.cancel(connection.slot);
  const { session, clientId } = connection;
  if (session === null) {
    const { id, info } = connection;
    parts.events.push({ kind: "refused", conn: id, clientId, info, reason });
    return;
  }
  connection.session = null;
  session.connSlot = 0;
  parts.counters[Counter.clientsConnected]!--;
  if (session.isPersistent) {
    session.outbox.detach(parts.limits.queueQos0 === 1);
    const endsAt = (now + parts.limits.sessionMillisMax) as Millis;
    parts.sessions.expireAt(session, endsAt);
    recordSession(parts, session, parts.epochMillis + endsAt);
  } else {
    endSession(parts, session);
  }
  parts.events.push({ kind: "disconnected", conn: connection.id, clientId, reason });
  const { will } = connection;
  connection.will = 0;
  if (will !== 0) {
    parts.counters[Counter.willsPublished]!++;
    publishMessage(parts, clientId, will, connection.isWillRetained, now); // [MQTT311-3.1.2-8]
  }
}

/** `endsAt` is Unix time in milliseconds; 0 while the client is there. */
export function recordSession(parts: Parts, session: Session, endsAt: number): void {
  if (session.owner !== 0) parts.records!.putSession(session.clientId, session.owner, endsAt);
}

/** The session and all that belongs to it is gone. */
export function endSession(parts: Parts, session: Session): void {
  const { owner } = session;
  for (const filter of session.subscriptions?.keys() ?? []) {
    parts.router.unsubscribe(encodeUtf8(filter), session);
    if (owner !== 0) parts.records!.removeSubscription(owner, filter);
  }
  session.clearReceipts();
  if (owner !== 0) parts.records!.removeSession(session.clientId);
  session.subscriptions = null;
  session.replays = null;
  session.outbox.clear();
  parts.sessions.remove(session);
}

export function dropWill(parts: Parts, connection: Connection): void {
  if (connection.will === 0) return;
  parts.messages.release(connection.will);
  connection.will = 0;
}

/** Lets go of all input that is kept for a connection. */
function dropInput(parts: Parts, connection: Connection): void {
  parts.counters[Counter.inputBytes]! -=
    (connection.held?.length ?? 0) + (connection.partial?.length ?? 0);
  if (connection.partial !== null) parts.buffers.give(connection.partial);
  connection.held = null;
  connection.partial = null;
}

function counterOf(reason: ReasonCode): number {
  switch (reason) {
    case Reason.MalformedPacket:
      return Counter.closedMalformed;
    case Reason.PacketTooLarge:
      return Counter.closedTooLarge;
    case Reason.TopicNameInvalid:
    case Reason.TopicFilterInvalid:
      return Counter.closedTopicInvalid;
    case Reason.KeepAliveTimeout:
      return Counter.closedKeepAlive;
    case Reason.QuotaExceeded:
    case Reason.ReceiveMaximumExceeded:
      return Counter.closedQuota;
    default:
      return Counter.closedProtocolError;
  }
}
