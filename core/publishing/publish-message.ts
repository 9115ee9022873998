/**
 * Publishes messages that do not arrive in a PUBLISH. Retains messages of any source, and reports
 * them to observers.
 */
import { ownBytes } from "../base/bytes.ts";
import { NEVER, NO_CONN } from "../boundary.ts";
import { decodeProperties } from "../codec/property-values.ts";
import type { Limits } from "../config.ts";
import { reportDenied } from "../connection/denials.ts";
import type { BrokerContext } from "../context.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { Reason } from "../reason.ts";
import type { Session } from "../session/session.ts";
import { isBridgeState, isBrokerTopic, isSysTopic } from "../topic/name.ts";

/**
 * Publishes a message that does not arrive in a PUBLISH: a will, a command, $SYS. Releases the
 * caller's reference. False: its topic is not a valid topic name.
 */
export function publishMessage(
  context: BrokerContext,
  clientId: string,
  message: MessageSlot,
  publisher: Session | null,
): boolean {
  const { messages, ingest } = context;
  const start = messages.topicStart(message) + 2;
  const end = start - 2 + messages.topicBytes(message);
  const topic = ingest.intern(messages.bytes(message), start, end);
  if (topic !== 0) {
    messages.setTopic(message, topic, ingest.topicEpoch);
    if (context.durability?.isReceived(topic) === true) messages.setSkipsCommits(message);
    const name = ingest.topicName(topic);
    const isKept = !messages.isRetained(message) || setRetained(context, name, message);
    // No event for $SYS topics: they are published again and again.
    if (!isKept && !isBrokerTopic(name)) {
      reportDenied(context.events, { clientId, info: null }, "retain", name, Reason.QuotaExceeded);
    }
    context.router.deliver(message, topic, context.router.route(topic), NO_CONN, publisher);
    // No event for $SYS topics: the counters have their values.
    if (context.events.observesPublishes && !isBrokerTopic(name)) {
      pushPublished(context, clientId, name, message);
    }
  }
  messages.release(message);
  return topic !== 0;
}

/**
 * Whether a topic is closed to clients, regardless of the policy: most of $SYS is reserved for the
 * broker.
 */
export function isReserved({ bridgeStateAvailable }: Limits, topic: string): boolean {
  return isSysTopic(topic) && !(bridgeStateAvailable === 1 && isBridgeState(topic));
}

/**
 * Retains a message for its topic, or, if its payload is empty, removes the retained message; false
 * if a limit forbids retention. [MQTT311-3.3.1-5] [MQTT311-3.3.1-11] [MQTT-3.3.1-5] [MQTT-3.3.1-6]
 */
export function setRetained(context: BrokerContext, topic: string, message: MessageSlot): boolean {
  if (context.messages.payloadBytes(message) === 0) {
    removeRetained(context, topic);
    return true;
  }
  const { records, retained } = context;
  const isRecorded = records !== null && !isBrokerTopic(topic);
  const before = isRecorded ? retained.at(topic) : 0;
  // The previous message is needed until its record is removed or replaced.
  if (before !== 0) context.messages.retain(before);
  const isSet = retained.set(topic, message, context.now);
  if (!isRecorded) return isSet;
  if (isSet) {
    const expiresAt = retained.expiresAt(topic, message, context.now);
    const unix = expiresAt === NEVER ? 0 : context.epochMillis + expiresAt;
    records.putRetained(topic, message, before, unix);
  } else if (before !== 0) {
    records.removeRetained(topic, before);
  }
  if (before !== 0) context.messages.release(before);
  return isSet;
}

export function removeRetained(context: BrokerContext, topic: string): void {
  const { records, retained } = context;
  const message = retained.at(topic);
  if (message === 0) return;
  if (records !== null && !isBrokerTopic(topic)) records.removeRetained(topic, message);
  retained.remove(topic);
}

/** Reports a message to the hooks that observe publishes. */
export function pushPublished(
  context: BrokerContext,
  clientId: string,
  topic: string,
  message: MessageSlot,
): void {
  const { messages } = context;
  const start = messages.propertyStart(message);
  const end = start + messages.propertyBytes(message);
  context.events.push({
    kind: "published",
    clientId,
    topic,
    payload: ownBytes(messages.payload(message)),
    qos: messages.qos(message),
    retain: messages.isRetained(message),
    properties: decodeProperties(messages.bytes(message), start, end),
  });
}
