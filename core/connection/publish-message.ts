/** How a message enters, whoever publishes it: retained, routed, told. */
import { ownBytes } from "../base/bytes.ts";
import type { Millis } from "../boundary.ts";
import { NEVER, NO_CONN } from "../boundary.ts";
import { decodeProperties } from "../codec/property-values.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import type { Session } from "../session/session.ts";
import type { Parts } from "./parts.ts";

/**
 * Publishes a message that does not come in a PUBLISH: a will, a command, $SYS. Releases the caller's
 * reference. False: its topic is not a topic name.
 */
export function publishMessage(
  parts: Parts,
  clientId: string,
  message: MessageSlot,
  from: Session | null,
  now: Millis,
): boolean {
  const { messages, ingest } = parts;
  const start = messages.topicStart(message) + 2;
  const end = start - 2 + messages.topicBytes(message);
  const topic = ingest.intern(messages.bytes(message), start, end);
  if (topic !== 0) {
    messages.setTopic(message, topic, ingest.topicEpoch);
    if (messages.isRetained(message)) setRetained(parts, ingest.topicName(topic), message, now);
    parts.router.deliver(message, topic, parts.router.route(topic), NO_CONN, from);
    // $SYS is no news: what it says is in the counters.
    if (parts.events.publishes && !isReserved(ingest.topicName(topic))) {
      pushPublished(parts, clientId, ingest.topicName(topic), message);
    }
  }
  messages.release(message);
  return topic !== 0;
}

/** Whether clients may not publish to a topic, whatever the policy says: $SYS is the broker's. */
export function isReserved(topic: string): boolean {
  return topic.charCodeAt(0) === DOLLAR && (topic === "$SYS" || topic.startsWith("$SYS/"));
}

/** [MQTT311-3.3.1-5] [MQTT311-3.3.1-11] [MQTT-3.3.1-5] [MQTT-3.3.1-6] */
export function setRetained(parts: Parts, topic: string, message: MessageSlot, now: Millis): void {
  if (parts.messages.payloadBytes(message) === 0) {
    removeRetained(parts, topic);
    return;
  }
  const { records, retained } = parts;
  const isRecorded = records !== null && !isReserved(topic);
  const before = isRecorded ? retained.at(topic) : 0;
  // Until its record is gone or replaced, the message before is needed.
  if (before !== 0) parts.messages.retain(before);
  const isSet = retained.set(topic, message, now);
  if (!isRecorded) return;
  if (isSet) {
    const expiresAt = retained.expiresAt(topic, message, now);
    const unix = expiresAt === NEVER ? 0 : parts.epochMillis + expiresAt;
    records.putRetained(topic, message, before, unix);
  } else if (before !== 0) {
    records.removeRetained(topic, before);
  }
  if (before !== 0) parts.messages.release(before);
}

export function removeRetained(parts: Parts, topic: string): void {
  const { records, retained } = parts;
  const message = retained.at(topic);
  if (message === 0) return;
  if (records !== null && !isReserved(topic)) records.removeRetained(topic, message);
  retained.remove(topic);
}

/** Tells those who observe publishes. */
export function pushPublished(
  parts: Parts,
  clientId: string,
  topic: string,
  message: MessageSlot,
): void {
  const { messages } = parts;
  const start = messages.propertyStart(message);
  const end = start + messages.propertyBytes(message);
  parts.events.push({
    kind: "published",
    clientId,
    topic,
    payload: ownBytes(messages.payload(message)),
    qos: messages.qos(message),
    retain: messages.isRetained(message),
    properties: decodeProperties(messages.bytes(message), start, end),
  });
}

const DOLLAR = 0x24;
