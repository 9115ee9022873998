/** PUBLISH from a client, MQTT 5.0 and 3.1.1 §3.3. */
import type { Millis, QoS } from "../boundary.ts";
import { encodeAck } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import { isUtf8 } from "../codec/utf8.ts";
import type { BrokerContext } from "../context.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { PublishFields } from "../message/publish-fields.ts";
import { Counter } from "../observe/counters.ts";
import { Verdict } from "../ports.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason, reasonFor } from "../reason.ts";
import type { Connection } from "./connection.ts";
import { Parked } from "./connection.ts";
import { reasonOf, tellDenied } from "./deny.ts";
import { fail } from "./end.ts";
import { requestDecision } from "./park.ts";
import { isReserved, pushPublished, setRetained } from "./publish-message.ts";
import { readProperties } from "./publish-properties.ts";
import {
  fitsMaximumPacketSize,
  ownProblem,
  packReply,
  pauseWhileStoreBehind,
  replyAfterCommit,
  replyEncoded,
} from "./reply-queue.ts";

/**
 * Handles the frame at `offset`; `header` and `topic` are those of its row. `owned` is the buffer
 * that `bytes` begins, where the message may have it. False: a decision is pending, the frame is to be
 * handled again then.
 */
export function handlePublish(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
  offset: number,
  header: number,
  remaining: number,
  topic: number,
  owned: Uint8Array | null,
  now: Millis,
): boolean {
  const first = header & 0xff;
  const qos = (first >> 1) & 0b11;
  const isRetained = (first & RETAIN) !== 0;
  // At QoS 0, without flags, there is nothing to find.
  if ((first & FLAGS) !== 0) {
    const fault = faultOfFlags(context, connection, first);
    if (fault !== Reason.Success) return fail(context, connection, fault, now);
  }
  // Of 5.0, that a topic alias stands for no name is found later.
  if (topic === 0 && connection.level < 5) {
    return fail(context, connection, Reason.MalformedPacket, now); // [MQTT311-4.7.3-1]
  }
  const packet = incoming;
  packet.begin(bytes, offset + (header >> 8), remaining, topic, qos as QoS, isRetained, owned);
  if (qos > 0) {
    if (packet.payloadStart > packet.payloadEnd) {
      return fail(context, connection, Reason.MalformedPacket, now);
    }
    // [MQTT311-2.3.1-1] [MQTT-2.2.1-3]
    if (packet.packetId === 0) return fail(context, connection, Reason.ProtocolError, now);
  }
  if (connection.level === 5) {
    const wrong = readProperties(context, connection, packet, now);
    if (wrong !== Reason.Success) return fail(context, connection, wrong, now);
    // [MQTT-3.3.4-7] [MQTT-3.3.4-8]
    if (qos > 0 && connection.receivedCount >= context.limits.receiveMax) {
      return fail(context, connection, Reason.ReceiveMaximumExceeded, now);
    }
  }
  const { packetId } = packet;
  const session = connection.session!;
  if (qos === 2 && session.hasReceipt(packetId)) {
    count(context, packet);
    if (connection.level < 5) countReceived(context, connection);
    context.counters[Counter.publishesDuplicate]!++;
    // [MQTT311-4.3.3-2] [MQTT-4.3.3-10]
    replyAfterCommit(context, connection, packReply(FirstByte.Pubrec, packetId));
    return true;
  }
  const name = context.ingest.topicName(packet.topic);
  const refusal = authorizePublish(context, connection, packet, name);
  if (refusal === null) return false;
  count(context, packet);
  if (qos > 0) countReceived(context, connection);
  if (refusal !== Reason.Success) {
    context.counters[Counter.publishesDenied]!++;
    tellDenied(context, connection, "publish", name, refusal);
    refuse(context, connection, packet, refusal);
    return true;
  }
  // Receipts are as many as there are packet identifiers, a bit each: those that an earlier connection left
  // are no part of this one's Receive Maximum, MQTT 5.0 §4.9.
  if (qos === 2) session.addReceipt(packetId);
  publish(context, connection, packet, name, now);
  return true;
}

/** What is wrong with the flags of a PUBLISH, which are in its first byte. */
export function faultOfFlags(
  context: BrokerContext,
  connection: Connection,
  first: number,
): ReasonCode {
  const qos = (first >> 1) & 0b11;
  if (qos === 3) return Reason.MalformedPacket; // [MQTT311-3.3.1-4] [MQTT-3.3.1-4]
  // [MQTT311-3.3.1-2] [MQTT-3.3.1-2]
  if (qos === 0 && (first & DUP) !== 0 && connection.level >= 4) return Reason.ProtocolError;
  if (qos > context.limits.qosMax) return Reason.QoSNotSupported; // [MQTT-3.2.2-11]
  const isRetained = (first & RETAIN) !== 0;
  if (isRetained && context.limits.retainAvailable === 0 && connection.level === 5) {
    return Reason.RetainNotSupported; // [MQTT-3.2.2-14]
  }
  return Reason.Success;
}

/** The message becomes what it is to its receivers, and its publisher is answered when that is done. */
function publish(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  name: string,
  now: Millis,
): void {
  const { topic, qos, packetId } = packet;
  const isRetained = packet.isRetained && context.limits.retainAvailable === 1;
  const route = context.router.route(topic);
  const hasReceivers = route.length > 0;
  const success = hasReceivers ? Reason.Success : Reason.NoMatchingSubscribers;
  if (!hasReceivers && !isRetained && !context.events.publishes) {
    reply(context, connection, packet, success);
    return;
  }
  const message: MessageSlot = context.messages.create(packet, context.ingest.topicEpoch);
  if (message === 0) {
    // Out of memory. What is not acknowledged, its publisher still has.
    connection.session!.removeReceipt(packetId);
    tellDenied(context, connection, "publish", name, Reason.QuotaExceeded);
    if (connection.level === 5) reply(context, connection, packet, Reason.QuotaExceeded);
    else if (qos > 0) fail(context, connection, Reason.QuotaExceeded, now);
    return;
  }
  // Sent before its receipt is durable, a restart would make it a second one to its receivers.
  if (qos === 2) context.messages.setWaitsFor(message, context.journal.lastSeq);
  if (isRetained) {
    const isKept = setRetained(context, name, message, now);
    if (!isKept) tellDenied(context, connection, "retain", name, Reason.QuotaExceeded);
    pauseWhileStoreBehind(context, connection);
  }
  const isDelivered = context.router.deliver(
    message,
    topic,
    route,
    connection.id,
    connection.session,
  );
  if (context.events.publishes) pushPublished(context, connection.clientId, name, message);
  context.messages.release(message);
  if (isDelivered) {
    if (qos > 0) reply(context, connection, packet, success);
  } else {
    connection.parked |= Parked.Fanout;
    connection.fanoutReply = replyTo(packet, success);
  }
}

function reply(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  reason: ReasonCode,
): void {
  if (packet.qos > 0) replyAfterCommit(context, connection, replyTo(packet, reason));
}

/** Answers a PUBLISH that goes nowhere, in the words of who decided that, where there are some. */
function refuse(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  reason: ReasonCode,
): void {
  const own = ownProblem(connection, connection.denial?.reasonString);
  connection.denial = null;
  if (own !== null && packet.qos > 0) {
    const firstByte = packet.qos === 1 ? FirstByte.Puback : FirstByte.Pubrec;
    const ack = encodeAck(firstByte, packet.packetId, reason, own);
    if (fitsMaximumPacketSize(connection, ack)) {
      // Now: as bytes of its own it is not known to be final when it leaves.
      connection.receivedCount--;
      replyEncoded(context, connection, ack);
      return;
    }
  }
  reply(context, connection, packet, reason);
}

/** 0 at QoS 0. Before 5.0 there is no way to say no: the message is acknowledged [MQTT311-3.3.5-2]. */
function replyTo({ qos, packetId }: PublishFields, reason: ReasonCode): number {
  if (qos === 0) return 0;
  return packReply(qos === 1 ? FirstByte.Puback : FirstByte.Pubrec, packetId, reason);
}

/** Success, or why the message goes nowhere; null: a decision is pending. */
function authorizePublish(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  topic: string,
): ReasonCode | null {
  if (connection.decision !== null) {
    const decision = connection.takeDecision()!;
    if (decision.kind === "allow") return Reason.Success;
    return reasonFor("PUBACK", reasonOf(connection, decision));
  }
  if (isReserved(context.limits, topic)) return Reason.NotAuthorized;
  if (packet.isText && context.limits.payloadFormatCheck === 1) {
    const { bytes, payloadStart, payloadEnd } = packet;
    if (!isUtf8(bytes, payloadStart, payloadEnd, true)) return Reason.PayloadFormatInvalid;
  }
  const { qos, isRetained: retain } = packet;
  const verdict = context.policy.publish(connection.id, topic, qos, retain);
  if (verdict === Verdict.Allow) return Reason.Success;
  if (verdict === Verdict.Deny) return Reason.NotAuthorized;
  if (verdict !== Verdict.Pending) return reasonFor("PUBACK", verdict);
  const { id: conn, clientId } = connection;
  requestDecision(context, connection, { kind: "publish", conn, clientId, topic, qos, retain });
  return null;
}

/**
 * One more message that is to be answered. A client of 5.0 keeps to the Receive Maximum itself; an older one
 * knows of none, so its connection is not read while it has that many. It is read on when PUBACK or PUBREC has
 * been sent, which waits for nothing from the client: a PUBREL may stand behind the PUBLISH that has to wait.
 */
function countReceived({ limits }: BrokerContext, connection: Connection): void {
  connection.receivedCount++;
  if (connection.level === 5 || connection.receivedCount < limits.receiveMax) return;
  connection.parked |= Parked.Received;
}

function count(context: BrokerContext, { payloadStart, payloadEnd }: PublishFields): void {
  context.counters[Counter.publishesReceived]!++;
  context.counters[Counter.publishBytesReceived]! += payloadEnd - payloadStart;
}

/** The PUBLISH at hand. One serves all: packets are handled one at a time. */
const incoming = new PublishFields();

const FLAGS = 0x0f;
const DUP = 0x08;
const RETAIN = 0x01;
