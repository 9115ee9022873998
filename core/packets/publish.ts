/** PUBLISH from a client, MQTT 5.0 and 3.1.1 §3.3. */
import type { Seq } from "../boundary.ts";
import { encodeAck } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import { isUtf8 } from "../codec/utf8.ts";
import type { Connection } from "../connection/connection.ts";
import { Parked } from "../connection/connection.ts";
import { denialReason, reportDenied } from "../connection/denials.ts";
import type { BrokerContext } from "../context.ts";
import { requestDecision } from "../lifecycle/decisions.ts";
import {
  fitsMaximumPacketSize,
  packReply,
  pauseWhileStoreBehind,
  policyReasonString,
  replyAfterCommit,
  replyEncoded,
  replyInOrder,
} from "../lifecycle/reply-queue.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { PublishFields } from "../message/publish-fields.ts";
import { Counter } from "../observe/counters.ts";
import { Verdict } from "../ports.ts";
import { isReserved, pushPublished, setRetained } from "../publishing/publish-message.ts";
import type { Outcome, ReasonCode } from "../reason.ts";
import { FAILURE_MIN, PENDING, Reason, reasonFor } from "../reason.ts";
import { readProperties } from "./publish-properties.ts";

/** Handles the PUBLISH in row `at` of `context.frames`. */
export function handlePublish(context: BrokerContext, connection: Connection, at: number): Outcome {
  const { frames } = context;
  const firstByte = frames.firstByte(at);
  // QoS 0 without flags has nothing to validate.
  if ((firstByte & FLAGS) !== 0) {
    const fault = validateFlags(context, connection, firstByte);
    if (fault !== Reason.Success) return fault;
  }
  const packet = incoming;
  packet.readHeader(frames, at);
  const { qos } = packet;
  // In 5.0 a topic alias can replace the name; `readProperties` checks that.
  if (packet.topic === 0 && connection.level < 5) return Reason.MalformedPacket; // [MQTT311-4.7.3-1]
  if (qos > 0) {
    if (packet.payloadStart > packet.payloadEnd) return Reason.MalformedPacket;
    if (packet.packetId === 0) return Reason.ProtocolError; // [MQTT311-2.3.1-1] [MQTT-2.2.1-3]
  }
  if (connection.level === 5) {
    const fault = readProperties(context, connection, packet);
    if (fault !== Reason.Success) return fault;
    // [MQTT-3.3.4-7] [MQTT-3.3.4-8]
    if (qos > 0 && connection.unacknowledgedCount >= context.limits.receiveMax) {
      return Reason.ReceiveMaximumExceeded;
    }
  }
  const { packetId } = packet;
  const session = connection.session!;
  if (qos === 2 && session.hasReceipt(packetId)) {
    countPublishReceived(context, packet);
    if (connection.level < 5) countUnacknowledged(context, connection);
    context.counters[Counter.publishesDuplicate]!++;
    // [MQTT311-4.3.3-2] [MQTT-4.3.3-10]
    const reply = session.mayHaveReceiptRecord(packetId) ? replyAfterCommit : replyInOrder;
    reply(context, connection, packReply(FirstByte.Pubrec, packetId));
    return Reason.Success;
  }
  const name = context.ingest.topicName(packet.topic);
  const outcome = authorizePublish(context, connection, packet, name);
  if (outcome === PENDING) return PENDING;
  countPublishReceived(context, packet);
  if (qos > 0) countUnacknowledged(context, connection);
  if (outcome !== Reason.Success) {
    context.counters[Counter.publishesDenied]!++;
    reportDenied(context.events, connection, "publish", name, outcome);
    acknowledgeDenied(context, connection, packet, outcome);
    return Reason.Success;
  }
  // With the memory store, nothing waits for a commit.
  let before = NO_SEQ;
  packet.skipsCommits = qos > 0;
  if (context.records !== null) {
    packet.skipsCommits = qos > 0 && context.durability?.isReceived(packet.topic) === true;
    // A message that is to be retained always waits: an earlier one may have removed the retained
    // message, whose commit is still awaited.
    if (!packet.isRetained) before = context.journal.lastSeq;
  }
  // Receipts need no limit: there are at most 65 535, a bit each. Those of an earlier connection do
  // not count towards the Receive Maximum of this one, MQTT 5.0 §4.9.
  if (qos === 2) session.addReceipt(packetId, !packet.skipsCommits);
  return publish(context, connection, packet, name, before);
}

/** The fault in the flags of a PUBLISH, which are in its first byte. */
export function validateFlags(
  context: BrokerContext,
  connection: Connection,
  firstByte: number,
): ReasonCode {
  const qos = (firstByte >> 1) & 0b11;
  if (qos === 3) return Reason.MalformedPacket; // [MQTT311-3.3.1-4] [MQTT-3.3.1-4]
  // [MQTT311-3.3.1-2] [MQTT-3.3.1-2]
  if (qos === 0 && (firstByte & DUP) !== 0 && connection.level >= 4) return Reason.ProtocolError;
  if (qos > context.limits.qosMax) return Reason.QoSNotSupported; // [MQTT-3.2.2-11]
  const isRetained = (firstByte & RETAIN) !== 0;
  if (isRetained && context.limits.retainAvailable === 0 && connection.level === 5) {
    return Reason.RetainNotSupported; // [MQTT-3.2.2-14]
  }
  return Reason.Success;
}

/**
 * Publishes an authorized message to topic `name` and acknowledges it. `before`: the newest write
 * before those of the message.
 */
function publish(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  name: string,
  before: Seq,
): Outcome {
  const { topic } = packet;
  const isRetained = packet.isRetained && context.limits.retainAvailable === 1;
  const route = context.router.route(topic);
  const hasReceivers = route.length > 0;
  const success = hasReceivers ? Reason.Success : Reason.NoMatchingSubscribers;
  if (!hasReceivers && !isRetained && !context.events.observesPublishes) {
    acknowledge(context, connection, packet, success, before);
    return Reason.Success;
  }
  const message: MessageSlot = context.messages.create(packet, context.ingest.topicEpoch);
  if (message === 0) return refuseWithoutMemory(context, connection, packet, name, before);
  const isStored = context.records !== null;
  const droppedBefore = isStored ? context.counters[Counter.droppedStoreFull]! : 0;
  if (isStored) awaitWrites(context, packet, message, before);
  if (isRetained) retain(context, connection, name, message);
  const isDelivered = context.router.deliver(
    message,
    topic,
    route,
    connection.id,
    connection.session,
  );
  if (context.events.observesPublishes) pushPublished(context, connection.clientId, name, message);
  const isRefused =
    isStored && isRefusedByStore(context, connection, packet, message, droppedBefore);
  context.messages.release(message);
  if (isDelivered) {
    const reason = isRefused ? Reason.QuotaExceeded : success;
    acknowledge(context, connection, packet, reason, before);
  } else {
    connection.parked |= Parked.Fanout;
    connection.fanoutReply = packAck(packet, success);
    connection.fanoutBefore = packet.skipsCommits ? null : before;
    countAcknowledged(context, packet);
  }
  return Reason.Success;
}

/** Out of memory: the publisher keeps a message that is not acknowledged. */
function refuseWithoutMemory(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  name: string,
  before: Seq,
): Outcome {
  connection.session!.removeReceipt(packet.packetId);
  reportDenied(context.events, connection, "publish", name, Reason.QuotaExceeded);
  if (connection.level < 5 && packet.qos > 0) return Reason.QuotaExceeded;
  acknowledge(context, connection, packet, Reason.QuotaExceeded, before);
  return Reason.Success;
}

/** Decides which writes a message waits for before it is sent. */
function awaitWrites(
  { journal, messages }: BrokerContext,
  packet: PublishFields,
  message: MessageSlot,
  before: Seq,
): void {
  if (packet.skipsCommits) messages.setSkipsCommits(message);
  // If the message were sent before its receipt is durable, receivers might get it twice after a
  // restart.
  else if (packet.qos === 2 && journal.lastSeq !== before) {
    messages.setAwaitedSeq(message, journal.lastSeq);
  }
}

/**
 * Whether a message was delivered to nobody because the store is full, and its publisher can be told;
 * then removes its receipt. `droppedBefore`: how many deliveries had been dropped for that before.
 */
function isRefusedByStore(
  { counters, messages }: BrokerContext,
  { level, session }: Connection,
  { qos, packetId }: PublishFields,
  message: MessageSlot,
  droppedBefore: number,
): boolean {
  if (counters[Counter.droppedStoreFull] === droppedBefore) return false;
  if (messages.references(message) > 1 || qos === 0 || level < 5) return false;
  session!.removeReceipt(packetId);
  return true;
}

function retain(
  context: BrokerContext,
  connection: Connection,
  name: string,
  message: MessageSlot,
): void {
  const isKept = setRetained(context, name, message);
  if (!isKept) reportDenied(context.events, connection, "retain", name, Reason.QuotaExceeded);
  pauseWhileStoreBehind(context, connection);
}

/**
 * Acknowledges a PUBLISH at QoS 1 or 2. If there were writes for it since `before`, it waits for their
 * commit, unless its topic is acknowledged on receipt.
 */
function acknowledge(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  reason: ReasonCode,
  before: Seq,
): void {
  if (packet.qos === 0) return;
  const word = packAck(packet, reason);
  if (context.records === null) replyInOrder(context, connection, word);
  else acknowledgeWrites(context, connection, packet, word, before);
  if (reason < FAILURE_MIN) countAcknowledged(context, packet);
}

function acknowledgeWrites(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  word: number,
  before: Seq,
): void {
  const hasWritten = context.journal.lastSeq !== before;
  const reply = hasWritten && !packet.skipsCommits ? replyAfterCommit : replyInOrder;
  reply(context, connection, word);
  // Its writes take memory until they are stored.
  if (hasWritten && packet.skipsCommits) pauseWhileStoreBehind(context, connection);
}

function countAcknowledged(
  { counters }: BrokerContext,
  { qos, skipsCommits }: PublishFields,
): void {
  if (qos === 0) return;
  counters[skipsCommits ? Counter.acknowledgedReceived : Counter.acknowledgedStored]!++;
}

/**
 * Acknowledges a PUBLISH that was denied, with the Reason String of the decision if there is one.
 */
function acknowledgeDenied(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  reason: ReasonCode,
): void {
  const policyText = policyReasonString(connection, connection.denial?.reasonString);
  connection.denial = null;
  if (policyText !== null && packet.qos > 0) {
    const firstByte = packet.qos === 1 ? FirstByte.Puback : FirstByte.Pubrec;
    const ack = encodeAck(firstByte, packet.packetId, reason, policyText);
    if (fitsMaximumPacketSize(connection, ack)) {
      // Counted down now: the encoder does not see that an encoded acknowledgement is the final
      // one.
      connection.unacknowledgedCount--;
      replyEncoded(context, connection, ack, false);
      return;
    }
  }
  if (packet.qos > 0) replyInOrder(context, connection, packAck(packet, reason));
}

/** 0 at QoS 0. Before 5.0 an acknowledgement cannot report a failure [MQTT311-3.3.5-2]. */
function packAck({ qos, packetId }: PublishFields, reason: ReasonCode): number {
  if (qos === 0) return 0;
  return packReply(qos === 1 ? FirstByte.Puback : FirstByte.Pubrec, packetId, reason);
}

/** Success, PENDING, or the reason why the message is not published. */
function authorizePublish(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  topic: string,
): Outcome {
  if (connection.decision !== null) {
    const decision = connection.takeDecision()!;
    if (decision.kind === "allow") return Reason.Success;
    return reasonFor("PUBACK", denialReason(connection, decision));
  }
  if (isReserved(context.limits, topic)) return Reason.NotAuthorized;
  if (packet.isPayloadText && context.limits.payloadFormatCheck === 1) {
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
  return PENDING;
}

/**
 * Counts a message that needs an acknowledgement. A 5.0 client observes the Receive Maximum itself.
 * An older client knows none, so its connection is not read while it has that many unacknowledged
 * messages. Reading resumes when PUBACK or PUBREC has been sent, which depends on nothing from the
 * client: a PUBREL may stand behind the PUBLISH that has to wait.
 */
function countUnacknowledged({ limits }: BrokerContext, connection: Connection): void {
  connection.unacknowledgedCount++;
  if (connection.level === 5 || connection.unacknowledgedCount < limits.receiveMax) return;
  connection.parked |= Parked.ReceiveMax;
}

function countPublishReceived(
  context: BrokerContext,
  { payloadStart, payloadEnd }: PublishFields,
): void {
  context.counters[Counter.publishesReceived]!++;
  context.counters[Counter.publishBytesReceived]! += payloadEnd - payloadStart;
}

/** The current PUBLISH. Packets are handled one at a time, so one record serves all. */
const incoming = new PublishFields();

/** Less than the number of any write. */
const NO_SEQ = -1 as Seq;
const FLAGS = 0x0f;
const DUP = 0x08;
const RETAIN = 0x01;
