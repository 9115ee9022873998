/** Every way a connection ends, and what becomes of its session and its will. */
import type { DenyDecision, Millis, PropertyValues } from "../boundary.ts";
import { EffectKind, NEVER } from "../boundary.ts";
import { encodeConnack, encodeConnack5, encodeReason } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { carried, connectReturnCode, Reason } from "../reason.ts";
import type { Session, Will } from "../session/session.ts";
import {
  answerNow,
  dropWaiting,
  keepPacket,
  ownProblem,
  PACKET,
  problem,
  takes,
} from "./answer.ts";
import type { Connection } from "./connection.ts";
import { Stage } from "./connection.ts";
import type { Parts } from "./parts.ts";
import { publishMessage } from "./publish-message.ts";

/**
 * Ends a connection for what its peer did, counted by cause; its will is published. Replies to the packets
 * before still leave, and a client of 5.0 is told why. Always true: the packet that did it needs no more handling.
 */
export function fail(
  parts: Parts,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
  counter: number = counterOf(reason),
): true {
  parts.counters[counter]!++;
  if (disconnect(parts, connection, reason, now)) return true;
  const isSilent = counter === Counter.closedStalled || counter === Counter.closedKeepAlive;
  const isReader = connection.session !== null && !isSilent;
  if (isReader && hasReplies(parts, connection)) {
    linger(parts, connection, reason, now);
    return true;
  }
  end(parts, connection, reason, now);
  // Closed in order, for the transport may still be sending what the broker replied before.
  parts.effect(isReader ? EffectKind.Close : EffectKind.Abort, connection, reason);
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
  if (connection.level === 5) {
    const code = carried("CONNACK", reason); // [MQTT-3.2.2-6]
    const packet = explained(parts, connection, reason, (properties) =>
      encodeConnack5(false, code, properties),
    );
    if (!takes(connection, packet)) return fail(parts, connection, reason, now);
    keepPacket(connection, packet);
  } else {
    const returnCode = connectReturnCode(reason);
    if (returnCode < 0) return fail(parts, connection, reason, now);
    keepPacket(connection, encodeConnack(false, returnCode)); // [MQTT311-3.2.2-4]
  }
  connection.endReason = reason;
  connection.stage = Stage.Closing;
  answerNow(parts, connection, PACKET);
  return true; // [MQTT311-3.2.2-5] [MQTT-3.2.2-7]
}

/** A packet that says why, with as much of what explains it as the client takes [MQTT-3.1.2-24]. */
function explained(
  parts: Parts,
  connection: Connection,
  reason: ReasonCode,
  encode: (properties: PropertyValues) => Uint8Array,
): Uint8Array {
  const { denial } = connection;
  connection.denial = null;
  const elsewhere = reference(parts, reason, denial);
  const own = ownProblem(connection, denial?.reasonString);
  if (own !== null) {
    const told = encode({ ...own, ...elsewhere });
    if (takes(connection, told)) return told;
  }
  const whole = encode({ ...problem(connection, reason), ...elsewhere });
  if (takes(connection, whole)) return whole;
  const brief = encode(elsewhere);
  return takes(connection, brief) ? brief : encode({});
}

function reference(parts: Parts, reason: ReasonCode, denial: DenyDecision | null): PropertyValues {
  const isElsewhere = reason === Reason.UseAnotherServer || reason === Reason.ServerMoved;
  const serverReference = denial?.serverReference ?? parts.serverReference;
  return isElsewhere && serverReference !== null ? { ServerReference: serverReference } : {};
}

/** Ends a connection in order, for a reason that is not its peer's fault; its will is published. */
export function close(parts: Parts, connection: Connection, reason: ReasonCode, now: Millis): void {
  if (reason !== Reason.Success && disconnect(parts, connection, reason, now)) return;
  end(parts, connection, reason, now);
  parts.effect(EffectKind.Close, connection, reason);
}

/**
 * Sends DISCONNECT to a client of 5.0 and ends the connection once that has been polled; false, and nothing
 * done, for any other.
 */
function disconnect(
  parts: Parts,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): boolean {
  const { stage } = connection;
  // Not before the CONNACK [MQTT-3.14.0-1], and only once.
  if (connection.level !== 5 || connection.session === null || stage >= Stage.Ended) return false;
  const isConfirmed = parts.journal.committed >= connection.connackSeq;
  if (!isConfirmed) return false;
  linger(parts, connection, reason, now);
  const code = carried("DISCONNECT", reason);
  const packet = explained(parts, connection, reason, (properties) =>
    encodeReason(FirstByte.Disconnect, code, properties),
  );
  // Behind what it was answered: the CONNACK may be among that [MQTT-3.14.0-1].
  keepPacket(connection, packet);
  answerNow(parts, connection, PACKET);
  return true;
}

/** Ends a connection as its client asks; what it has been answered goes out first. */
export function depart(parts: Parts, connection: Connection, now: Millis): void {
  if (hasReplies(parts, connection)) linger(parts, connection, Reason.Success, now);
  else close(parts, connection, Reason.Success, now);
}

/** Whether replies wait for the transport that may be sent now. */
function hasReplies({ journal }: Parts, connection: Connection): boolean {
  return journal.committed >= connection.connackSeq && connection.answers !== null;
}

/** The client is gone, its connection ends behind what its transport has not taken yet, but not for long. */
function linger(parts: Parts, connection: Connection, reason: ReasonCode, now: Millis): void {
  leave(parts, connection, reason, now);
  connection.stage = Stage.Closing;
  connection.parked = 0;
  dropWaiting(connection);
  parts.deadlines.set(connection.slot, (now + FAREWELL_MILLIS_MAX) as Millis);
}

/** The connection is over: nothing is owed to it any more. */
export function end(parts: Parts, connection: Connection, reason: ReasonCode, now: Millis): void {
  if (connection.stage === Stage.Ended) return;
  leave(parts, connection, reason, now);
  connection.stage = Stage.Ended;
  parts.deadlines.cancel(connection.slot);
}

/** The connection is nobody's any more: its session goes on without it, or ends; its will is published. */
function leave(parts: Parts, connection: Connection, reason: ReasonCode, now: Millis): void {
  if (connection.hasLeft) return;
  connection.hasLeft = true;
  connection.endReason = reason;
  dropInput(parts, connection);
  parts.gated.delete(connection);
  parts.awaiting.delete(connection);
  parts.walking.delete(connection);
  parts.deadlines.cancel(connection.slot);
  const { session, clientId, will } = connection;
  if (session === null) {
    const { id, info, hasConnect } = connection;
    parts.events.push({ kind: "refused", conn: id, clientId, info, reason, hasConnect });
    return;
  }
  connection.session = null;
  connection.will = null;
  session.connSlot = 0;
  parts.counters[Counter.clientsConnected]!--;
  if (session.expiryMillis > 0) {
    session.outbox.detach(parts.limits.queueQos0 === 1);
    const endsAt = (now + session.expiryMillis) as Millis;
    parts.sessions.expireAt(session, endsAt);
    recordSession(parts, session, parts.epochMillis + endsAt);
    if (will !== null && will.delayMillis > 0) {
      session.will = will;
      parts.sessions.willAt(session, (now + will.delayMillis) as Millis);
    } else {
      publishWill(parts, session, will, now);
    }
  } else {
    endSession(parts, session, now);
    publishWill(parts, session, will, now);
  }
  parts.events.push({ kind: "disconnected", conn: connection.id, clientId, reason });
}

/** [MQTT311-3.1.2-8] [MQTT-3.1.2-8] */
export function publishWill(parts: Parts, session: Session, will: Will | null, now: Millis): void {
  if (will === null) return;
  parts.counters[Counter.willsPublished]!++;
  if (will.expiryMillis !== NEVER) {
    parts.messages.setExpiresAt(will.message, (now + will.expiryMillis) as Millis);
  }
  publishMessage(parts, session.clientId, will.message, session, now);
}

/** `endsAt` is Unix time in milliseconds; 0 while the client is there. */
export function recordSession(parts: Parts, session: Session, endsAt: number): void {
  if (session.owner !== 0) parts.records!.putSession(session.clientId, session.owner, endsAt);
}

/**
 * The session and all that belongs to it is gone. A will that waited for its delay is published, and
 * what it had of shared subscriptions goes to other members.
 */
export function endSession(parts: Parts, session: Session, now: Millis): void {
  const { owner } = session;
  const { messages, router } = parts;
  const unfinished = [...session.outbox.unfinishedShared()];
  for (const { message } of unfinished) messages.retain(message);
  for (const filter of session.subscriptions?.keys() ?? []) {
    router.unsubscribe(filter, session);
    if (owner !== 0) parts.records!.removeSubscription(owner, filter);
  }
  session.clearReceipts();
  if (owner !== 0) parts.records!.removeSession(session.clientId);
  session.subscriptions = null;
  session.replays = null;
  session.outbox.clear();
  parts.sessions.remove(session);
  for (const { message, group } of unfinished) {
    router.offerShared(group, message, null);
    messages.release(message);
  }
  const { will } = session;
  session.will = null;
  publishWill(parts, session, will, now);
}

export function dropWill(parts: Parts, connection: Connection): void {
  if (connection.will === null) return;
  parts.messages.release(connection.will.message);
  connection.will = null;
}

/** Lets go of all input that is kept for a connection. */
function dropInput(parts: Parts, connection: Connection): void {
  const { held, partial, clientAliases } = connection;
  const bytes =
    (held?.buffer.byteLength ?? 0) + (partial?.length ?? 0) + (clientAliases?.byteCount ?? 0);
  parts.counters[Counter.inputBytes]! -= bytes;
  if (partial !== null) parts.buffers.give(partial);
  connection.held = null;
  connection.partial = null;
  connection.clientAliases = null;
}

/** How long DISCONNECT may wait for a transport that takes no bytes. */
const FAREWELL_MILLIS_MAX = 1000;

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
