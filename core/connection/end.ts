/** Every way a connection ends, and what becomes of its session and its will. */
import type { DenyDecision, Millis, PropertyValues } from "../boundary.ts";
import { EffectKind, NEVER } from "../boundary.ts";
import { encodeConnack, encodeConnack5, encodeReason } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { connectReturnCode, Reason, reasonFor } from "../reason.ts";
import type { Session, Will } from "../session/session.ts";
import type { Connection } from "./connection.ts";
import { Stage } from "./connection.ts";
import { publishMessage } from "./publish-message.ts";
import {
  dropGatedReplies,
  ENCODED_REPLY,
  fitsMaximumPacketSize,
  keepPacket,
  ownProblem,
  reasonString,
  sendReply,
} from "./reply-queue.ts";

/**
 * Ends a connection for what its peer did, counted by cause; its will is published. Replies to the packets
 * before still leave, and a client of 5.0 is told why. Always true: the packet that did it needs no more handling.
 */
export function fail(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
  counter: number = counterOf(reason),
): true {
  context.counters[counter]!++;
  if (disconnect(context, connection, reason, now)) return true;
  const isSilent = counter === Counter.closedStalled || counter === Counter.closedKeepAlive;
  const isReader = connection.session !== null && !isSilent;
  if (isReader && hasReplies(context, connection)) {
    linger(context, connection, reason, now);
    return true;
  }
  end(context, connection, reason, now);
  // Closed in order, for the transport may still be sending what the broker replied before.
  context.pushEffect(isReader ? EffectKind.Close : EffectKind.Abort, connection, reason);
  return true;
}

/**
 * Answers a CONNECT with a refusal and ends the connection once that has been polled; without an answer
 * where the client's version has none for `reason`. Always true, like `fail`.
 */
export function refuse(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): true {
  context.counters[Counter.connectsRefused]!++;
  if (connection.level === 5) {
    const code = reasonFor("CONNACK", reason); // [MQTT-3.2.2-6]
    const packet = explained(context, connection, reason, (properties) =>
      encodeConnack5(false, code, properties),
    );
    if (!fitsMaximumPacketSize(connection, packet)) return fail(context, connection, reason, now);
    keepPacket(connection, packet);
  } else {
    const returnCode = connectReturnCode(reason);
    if (returnCode < 0) return fail(context, connection, reason, now);
    keepPacket(connection, encodeConnack(false, returnCode)); // [MQTT311-3.2.2-4]
  }
  connection.endReason = reason;
  connection.stage = Stage.Closing;
  sendReply(context, connection, ENCODED_REPLY);
  return true; // [MQTT311-3.2.2-5] [MQTT-3.2.2-7]
}

/** A packet that says why, with as much of what explains it as the client takes [MQTT-3.1.2-24]. */
function explained(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  encode: (properties: PropertyValues) => Uint8Array,
): Uint8Array {
  const { denial } = connection;
  connection.denial = null;
  const elsewhere = reference(context, reason, denial);
  const own = ownProblem(connection, denial?.reasonString);
  if (own !== null) {
    const told = encode({ ...own, ...elsewhere });
    if (fitsMaximumPacketSize(connection, told)) return told;
  }
  const whole = encode({ ...reasonString(connection, reason), ...elsewhere });
  if (fitsMaximumPacketSize(connection, whole)) return whole;
  const brief = encode(elsewhere);
  return fitsMaximumPacketSize(connection, brief) ? brief : encode({});
}

function reference(
  context: BrokerContext,
  reason: ReasonCode,
  denial: DenyDecision | null,
): PropertyValues {
  const isElsewhere = reason === Reason.UseAnotherServer || reason === Reason.ServerMoved;
  const serverReference = denial?.serverReference ?? context.serverReference;
  return isElsewhere && serverReference !== null ? { ServerReference: serverReference } : {};
}

/** Ends a connection in order, for a reason that is not its peer's fault; its will is published. */
export function close(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): void {
  if (reason !== Reason.Success && disconnect(context, connection, reason, now)) return;
  end(context, connection, reason, now);
  context.pushEffect(EffectKind.Close, connection, reason);
}

/**
 * Sends DISCONNECT to a client of 5.0 and ends the connection once that has been polled; false, and nothing
 * done, for any other.
 */
function disconnect(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): boolean {
  const { stage } = connection;
  // Not before the CONNACK [MQTT-3.14.0-1], and only once.
  if (connection.level !== 5 || connection.session === null || stage >= Stage.Ended) return false;
  const isConfirmed = context.journal.committed >= connection.connackSeq;
  if (!isConfirmed) return false;
  linger(context, connection, reason, now);
  const code = reasonFor("DISCONNECT", reason);
  const packet = explained(context, connection, reason, (properties) =>
    encodeReason(FirstByte.Disconnect, code, properties),
  );
  // Behind what it was answered: the CONNACK may be among that [MQTT-3.14.0-1].
  keepPacket(connection, packet);
  sendReply(context, connection, ENCODED_REPLY);
  return true;
}

/** Ends a connection as its client asks; what it has been answered goes out first. */
export function depart(context: BrokerContext, connection: Connection, now: Millis): void {
  if (hasReplies(context, connection)) linger(context, connection, Reason.Success, now);
  else close(context, connection, Reason.Success, now);
}

/** Whether replies wait for the transport that may be sent now. */
function hasReplies({ journal }: BrokerContext, connection: Connection): boolean {
  return journal.committed >= connection.connackSeq && connection.replies !== null;
}

/** The client is gone, its connection ends behind what its transport has not taken yet, but not for long. */
function linger(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): void {
  leave(context, connection, reason, now);
  connection.stage = Stage.Closing;
  connection.parked = 0;
  dropGatedReplies(connection);
  context.deadlines.set(connection.slot, (now + FAREWELL_MILLIS_MAX) as Millis);
}

/** The connection is over: nothing is owed to it any more. */
export function end(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): void {
  if (connection.stage === Stage.Ended) return;
  leave(context, connection, reason, now);
  connection.stage = Stage.Ended;
  context.deadlines.cancel(connection.slot);
}

/** The connection is nobody's any more: its session goes on without it, or ends; its will is published. */
function leave(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  now: Millis,
): void {
  if (connection.hasLeft) return;
  connection.hasLeft = true;
  connection.endReason = reason;
  dropInput(context, connection);
  context.gatedConnections.delete(connection);
  context.storeBlocked.delete(connection);
  context.retainedScans.delete(connection);
  context.deadlines.cancel(connection.slot);
  const { session, clientId, will } = connection;
  if (session === null) {
    const { id, info, hasConnect } = connection;
    context.events.push({ kind: "refused", conn: id, clientId, info, reason, hasConnect });
    return;
  }
  connection.session = null;
  connection.will = null;
  session.connSlot = 0;
  context.counters[Counter.clientsConnected]!--;
  if (session.expiryMillis > 0) {
    session.outbox.detach(context.limits.queueQos0 === 1);
    const endsAt = (now + session.expiryMillis) as Millis;
    context.sessions.expireAt(session, endsAt);
    recordSession(context, session, context.epochMillis + endsAt);
    if (will !== null && will.delayMillis > 0) {
      session.will = will;
      context.sessions.willAt(session, (now + will.delayMillis) as Millis);
    } else {
      publishWill(context, session, will, now);
    }
  } else {
    endSession(context, session, now);
    publishWill(context, session, will, now);
  }
  context.events.push({ kind: "disconnected", conn: connection.id, clientId, reason });
}

/** [MQTT311-3.1.2-8] [MQTT-3.1.2-8] */
export function publishWill(
  context: BrokerContext,
  session: Session,
  will: Will | null,
  now: Millis,
): void {
  if (will === null) return;
  context.counters[Counter.willsPublished]!++;
  if (will.expiryMillis !== NEVER) {
    context.messages.setExpiresAt(will.message, (now + will.expiryMillis) as Millis);
  }
  publishMessage(context, session.clientId, will.message, session, now);
}

/** `endsAt` is Unix time in milliseconds; 0 while the client is there. */
export function recordSession(context: BrokerContext, session: Session, endsAt: number): void {
  if (session.durableId !== 0)
    context.records!.putSession(session.clientId, session.durableId, endsAt);
}

/**
 * The session and all that belongs to it is gone. A will that waited for its delay is published, and
 * what it had of shared subscriptions goes to other members.
 */
export function endSession(context: BrokerContext, session: Session, now: Millis): void {
  const { durableId } = session;
  const { messages, router } = context;
  const unfinished = [...session.outbox.unfinishedShared()];
  for (const { message } of unfinished) messages.retain(message);
  for (const filter of session.subscriptions?.keys() ?? []) {
    router.unsubscribe(filter, session);
    if (durableId !== 0) context.records!.removeSubscription(durableId, filter);
  }
  session.clearReceipts();
  if (durableId !== 0) context.records!.removeSession(session.clientId);
  session.subscriptions = null;
  session.retainedScans = null;
  session.outbox.clear();
  context.sessions.remove(session);
  for (const { message, group } of unfinished) {
    router.offerShared(group, message, null);
    messages.release(message);
  }
  const { will } = session;
  session.will = null;
  publishWill(context, session, will, now);
}

export function dropWill(context: BrokerContext, connection: Connection): void {
  if (connection.will === null) return;
  context.messages.release(connection.will.message);
  connection.will = null;
}

/** Lets go of all input that is kept for a connection. */
function dropInput(context: BrokerContext, connection: Connection): void {
  const { inputBacklog: held, partial, inboundAliases: clientAliases } = connection;
  const bytes =
    (held?.buffer.byteLength ?? 0) + (partial?.length ?? 0) + (clientAliases?.byteCount ?? 0);
  context.counters[Counter.inputBytes]! -= bytes;
  if (partial !== null) context.buffers.release(partial);
  connection.inputBacklog = null;
  connection.partial = null;
  connection.inboundAliases = null;
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
