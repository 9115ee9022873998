/** PUBLISH from a client, MQTT 3.1.1 §3.3. */
import type { Millis, QoS } from "../boundary.ts";
import { FirstByte } from "../codec/packet.ts";
import { Counter } from "../observe/counters.ts";
import { Verdict } from "../ports.ts";
import { Reason } from "../reason.ts";
import { answerDurably, answerWord, holdWriter } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { Parked } from "./connection.ts";
import { fail } from "./end.ts";
import { ask } from "./park.ts";
import type { Parts } from "./parts.ts";
import { isReserved, pushPublished, setRetained } from "./publish-message.ts";

/**
 * Handles the frame at `offset`; `header` and `topic` are those of its row. `owned` is the buffer
 * that `bytes` begins, where the message may have it. False: a decision is pending, the frame is to be handled again then.
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
  const topicStart = offset + (header >> 8);
  const end = topicStart + remaining;
  if (qos === 3) return fail(parts, connection, Reason.MalformedPacket, now); // [MQTT311-3.3.1-4]
  if (topic === 0) return fail(parts, connection, Reason.MalformedPacket, now); // [MQTT311-4.7.3-1]
  if (qos === 0 && (first & DUP) !== 0 && connection.level >= 4) {
    return fail(parts, connection, Reason.ProtocolError, now); // [MQTT311-3.3.1-2]
  }
  const topicEnd = topicStart + 2 + ((bytes[topicStart]! << 8) | bytes[topicStart + 1]!);
  let payloadStart = topicEnd;
  let packetId = 0;
  if (qos > 0) {
    payloadStart += 2;
    if (payloadStart > end) return fail(parts, connection, Reason.MalformedPacket, now);
    packetId = (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]!;
    if (packetId === 0) return fail(parts, connection, Reason.ProtocolError, now); // [MQTT311-2.3.1-1]
    if (qos === 2 && connection.session!.hasReceipt(packetId)) {
      count(parts, end - payloadStart);
      parts.counters[Counter.publishesDuplicate]!++;
      answerDurably(parts, connection, answerWord(FirstByte.Pubrec, packetId)); // [MQTT311-4.3.3-2]
      return true;
    }
  }
  const isRetained = (first & RETAIN) !== 0;
  const name = parts.ingest.topicName(topic);
  const verdict = judge(parts, connection, name, qos as QoS, isRetained);
  if (verdict === Verdict.Pending) return false;
  count(parts, end - payloadStart);
  if (qos === 2) {
    if (connection.session!.receiptCount >= parts.limits.receiveMax) {
      return fail(parts, connection, Reason.ReceiveMaximumExceeded, now);
    }
    connection.session!.addReceipt(packetId);
  }
  let isDelivered = true;
  if (verdict === Verdict.Deny) {
    // 3.1.1 has no way to say no: the message is acknowledged and goes nowhere [MQTT311-3.3.5-2].
    parts.counters[Counter.publishesDenied]!++;
  } else {
    const route = parts.router.route(topic);
    if (route.length > 0 || isRetained || parts.events.publishes) {
      const message = parts.messages.create(
        bytes,
        topicStart,
        topicEnd,
        payloadStart,
        end,
        qos as QoS,
        owned,
      );
      if (message === 0) {
        // Out of memory. What is not acknowledged, its publisher still has.
        connection.session!.removeReceipt(packetId);
        if (qos > 0) return fail(parts, connection, Reason.QuotaExceeded, now);
        return true;
      }
      // Sent before its receipt is durable, a restart would make it a second one to its receivers.
      if (qos === 2) parts.messages.setWaitsFor(message, parts.journal.lastSeq);
      if (isRetained) {
        setRetained(parts, name, message, now);
        holdWriter(parts, connection);
      }
      isDelivered = parts.router.deliver(message, route, connection.id);
      if (parts.events.publishes) {
        pushPublished(parts, connection.clientId, name, message, isRetained);
      }
      parts.messages.release(message);
    }
  }
  const answer =
    qos === 0 ? 0 : answerWord(qos === 1 ? FirstByte.Puback : FirstByte.Pubrec, packetId);
  if (!isDelivered) {
    connection.parked |= Parked.Fanout;
    connection.fanoutAnswer = answer;
  } else if (answer !== 0) {
    answerDurably(parts, connection, answer);
  }
  return true;
}

function judge(
  parts: Parts,
  connection: Connection,
  topic: string,
  qos: QoS,
  retain: boolean,
): Verdict {
  const decision = connection.takeDecision();
  if (decision !== null) return decision.kind === "allow" ? Verdict.Allow : Verdict.Deny;
  if (isReserved(topic)) return Verdict.Deny;
  const verdict = parts.policy.publish(connection.id, topic, qos, retain);
  if (verdict === Verdict.Pending) {
    ask(parts, connection, {
      kind: "publish",
      conn: connection.id,
      clientId: connection.clientId,
      topic,
      qos,
      retain,
    });
  }
  return verdict;
}

function count(parts: Parts, payloadBytes: number): void {
  parts.counters[Counter.publishesReceived]!++;
  parts.counters[Counter.publishBytesReceived]! += payloadBytes;
}

const DUP = 0x08;
const RETAIN = 0x01;
