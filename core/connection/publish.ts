/** PUBLISH from a client, MQTT 5.0 and 3.1.1 §3.3. */
import type { Millis, QoS } from "../boundary.ts";
import { encodeAck } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import { isUtf8 } from "../codec/utf8.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { MessageSource } from "../message/message-source.ts";
import { Counter } from "../observe/counters.ts";
import { Verdict } from "../ports.ts";
import type { ReasonCode } from "../reason.ts";
import { carried, Reason } from "../reason.ts";
import {
  answerDurably,
  answerPacket,
  answerWord,
  holdWriter,
  ownProblem,
  takes,
} from "./answer.ts";
import type { Connection } from "./connection.ts";
import { Parked } from "./connection.ts";
import { reasonOf, tellDenied } from "./deny.ts";
import { fail } from "./end.ts";
import { ask } from "./park.ts";
import type { Parts } from "./parts.ts";
import { isReserved, pushPublished, setRetained } from "./publish-message.ts";
import { readProperties } from "./publish-properties.ts";

/**
 * Handles the frame at `offset`; `header` and `topic` are those of its row. `owned` is the buffer
 * that `bytes` begins, where the message may have it. False: a decision is pending, the frame is to be
 * handled again then.
 */
export function handlePublish(
  parts: Parts,
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
    const fault = faultOfFlags(parts, connection, first);
    if (fault !== Reason.Success) return fail(parts, connection, fault, now);
  }
  // Of 5.0, that a topic alias stands for no name is found later.
  if (topic === 0 && connection.level < 5) {
    return fail(parts, connection, Reason.MalformedPacket, now); // [MQTT311-4.7.3-1]
  }
  const packet = incoming;
  packet.begin(bytes, offset + (header >> 8), remaining, topic, qos as QoS, isRetained, owned);
  if (qos > 0) {
    if (packet.payloadStart > packet.payloadEnd) {
      return fail(parts, connection, Reason.MalformedPacket, now);
    }
    // [MQTT311-2.3.1-1] [MQTT-2.2.1-3]
    if (packet.packetId === 0) return fail(parts, connection, Reason.ProtocolError, now);
  }
  if (connection.level === 5) {
    const wrong = readProperties(parts, connection, packet, now);
    if (wrong !== Reason.Success) return fail(parts, connection, wrong, now);
    // [MQTT-3.3.4-7] [MQTT-3.3.4-8]
    if (qos > 0 && connection.receivedCount >= parts.limits.receiveMax) {
      return fail(parts, connection, Reason.ReceiveMaximumExceeded, now);
    }
  }
  const { packetId } = packet;
  const session = connection.session!;
  if (qos === 2 && session.hasReceipt(packetId)) {
    count(parts, packet);
    if (connection.level < 5) countReceived(parts, connection);
    parts.counters[Counter.publishesDuplicate]!++;
    // [MQTT311-4.3.3-2] [MQTT-4.3.3-10]
    answerDurably(parts, connection, answerWord(FirstByte.Pubrec, packetId));
    return true;
  }
  const name = parts.ingest.topicName(packet.topic);
  const refusal = judge(parts, connection, packet, name);
  if (refusal === null) return false;
  count(parts, packet);
  if (qos > 0) countReceived(parts, connection);
  if (refusal !== Reason.Success) {
    parts.counters[Counter.publishesDenied]!++;
    tellDenied(parts, connection, "publish", name, refusal);
    refuse(parts, connection, packet, refusal);
    return true;
  }
  // Receipts are as many as there are packet identifiers, a bit each: those that an earlier connection left
  // are no part of this one's Receive Maximum, MQTT 5.0 §4.9.
  if (qos === 2) session.addReceipt(packetId);
  publish(parts, connection, packet, name, now);
  return true;
}

/** What is wrong with the flags of a PUBLISH, which are in its first byte. */
export function faultOfFlags(parts: Parts, connection: Connection, first: number): ReasonCode {
  const qos = (first >> 1) & 0b11;
  if (qos === 3) return Reason.MalformedPacket; // [MQTT311-3.3.1-4] [MQTT-3.3.1-4]
  // [MQTT311-3.3.1-2] [MQTT-3.3.1-2]
  if (qos === 0 && (first & DUP) !== 0 && connection.level >= 4) return Reason.ProtocolError;
  if (qos > parts.limits.qosMax) return Reason.QoSNotSupported; // [MQTT-3.2.2-11]
  const isRetained = (first & RETAIN) !== 0;
  if (isRetained && parts.limits.retainAvailable === 0 && connection.level === 5) {
    return Reason.RetainNotSupported; // [MQTT-3.2.2-14]
  }
  return Reason.Success;
}

/** The message becomes what it is to its receivers, and its publisher is answered when that is done. */
function publish(
  parts: Parts,
  connection: Connection,
  packet: MessageSource,
  name: string,
  now: Millis,
): void {
  const { topic, qos, packetId } = packet;
  const isRetained = packet.isRetained && parts.limits.retainAvailable === 1;
  const route = parts.router.route(topic);
  const hasReceivers = route.length > 0;
  const success = hasReceivers ? Reason.Success : Reason.NoMatchingSubscribers;
  if (!hasReceivers && !isRetained && !parts.events.publishes) {
    answer(parts, connection, packet, success);
    return;
  }
  const message: MessageSlot = parts.messages.create(packet, parts.ingest.topicEpoch);
  if (message === 0) {
    // Out of memory. What is not acknowledged, its publisher still has.
    connection.session!.removeReceipt(packetId);
    tellDenied(parts, connection, "publish", name, Reason.QuotaExceeded);
    if (connection.level === 5) answer(parts, connection, packet, Reason.QuotaExceeded);
    else if (qos > 0) fail(parts, connection, Reason.QuotaExceeded, now);
    return;
  }
  // Sent before its receipt is durable, a restart would make it a second one to its receivers.
  if (qos === 2) parts.messages.setWaitsFor(message, parts.journal.lastSeq);
  if (isRetained) {
    const isKept = setRetained(parts, name, message, now);
    if (!isKept) tellDenied(parts, connection, "retain", name, Reason.QuotaExceeded);
    holdWriter(parts, connection);
  }
  const isDelivered = parts.router.deliver(
    message,
    topic,
    route,
    connection.id,
    connection.session,
  );
  if (parts.events.publishes) pushPublished(parts, connection.clientId, name, message);
  parts.messages.release(message);
  if (isDelivered) {
    if (qos > 0) answer(parts, connection, packet, success);
  } else {
    connection.parked |= Parked.Fanout;
    connection.fanoutAnswer = answerOf(packet, success);
  }
}

function answer(
  parts: Parts,
  connection: Connection,
  packet: MessageSource,
  reason: ReasonCode,
): void {
  if (packet.qos > 0) answerDurably(parts, connection, answerOf(packet, reason));
}

/** Answers a PUBLISH that goes nowhere, in the words of who decided that, where there are some. */
function refuse(
  parts: Parts,
  connection: Connection,
  packet: MessageSource,
  reason: ReasonCode,
): void {
  const own = ownProblem(connection, connection.denial?.reasonString);
  connection.denial = null;
  if (own !== null && packet.qos > 0) {
    const firstByte = packet.qos === 1 ? FirstByte.Puback : FirstByte.Pubrec;
    const ack = encodeAck(firstByte, packet.packetId, reason, own);
    if (takes(connection, ack)) {
      // Now: as bytes of its own it is not known to be final when it leaves.
      connection.receivedCount--;
      answerPacket(parts, connection, ack);
      return;
    }
  }
  answer(parts, connection, packet, reason);
}

/** 0 at QoS 0. Before 5.0 there is no way to say no: the message is acknowledged [MQTT311-3.3.5-2]. */
function answerOf({ qos, packetId }: MessageSource, reason: ReasonCode): number {
  if (qos === 0) return 0;
  return answerWord(qos === 1 ? FirstByte.Puback : FirstByte.Pubrec, packetId, reason);
}

/** Success, or why the message goes nowhere; null: a decision is pending. */
function judge(
  parts: Parts,
  connection: Connection,
  packet: MessageSource,
  topic: string,
): ReasonCode | null {
  if (connection.decision !== null) {
    const decision = connection.takeDecision()!;
    if (decision.kind === "allow") return Reason.Success;
    return carried("PUBACK", reasonOf(connection, decision));
  }
  if (isReserved(parts.limits, topic)) return Reason.NotAuthorized;
  if (packet.isText && parts.limits.payloadFormatCheck === 1) {
    const { bytes, payloadStart, payloadEnd } = packet;
    if (!isUtf8(bytes, payloadStart, payloadEnd, true)) return Reason.PayloadFormatInvalid;
  }
  const { qos, isRetained: retain } = packet;
  const verdict = parts.policy.publish(connection.id, topic, qos, retain);
  if (verdict === Verdict.Allow) return Reason.Success;
  if (verdict === Verdict.Deny) return Reason.NotAuthorized;
  if (verdict !== Verdict.Pending) return carried("PUBACK", verdict);
  const { id: conn, clientId } = connection;
  ask(parts, connection, { kind: "publish", conn, clientId, topic, qos, retain });
  return null;
}

/**
 * One more message that is to be answered. A client of 5.0 keeps to the Receive Maximum itself; an older one
 * knows of none, so its connection is not read while it has that many. It is read on when PUBACK or PUBREC has
 * been sent, which waits for nothing from the client: a PUBREL may stand behind the PUBLISH that has to wait.
 */
function countReceived({ limits }: Parts, connection: Connection): void {
  connection.receivedCount++;
  if (connection.level === 5 || connection.receivedCount < limits.receiveMax) return;
  connection.parked |= Parked.Received;
}

function count(parts: Parts, { payloadStart, payloadEnd }: MessageSource): void {
  parts.counters[Counter.publishesReceived]!++;
  parts.counters[Counter.publishBytesReceived]! += payloadEnd - payloadStart;
}

/** The PUBLISH at hand. One serves all: packets are handled one at a time. */
const incoming = new MessageSource();

const FLAGS = 0x0f;
const DUP = 0x08;
const RETAIN = 0x01;
