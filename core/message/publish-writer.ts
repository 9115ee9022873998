/**
 * Writes the PUBLISH packet of a message for one receiver.
 *
 * The message holds topic field, properties and payload as they stand in the packet. Writing is a
 * header, a few copies and the receiver's own fields, without an allocation.
 */
import { copyBytes, copyWords, outputView } from "../base/bytes.ts";
import type { OutBuffer } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import { Property } from "../codec/properties.ts";
import { remainingLengthBytes, writeRemainingLength } from "../codec/varint.ts";
import type { MessagePool, MessageSlot } from "./message-pool.ts";
import { VIEW_BYTES_MIN } from "./message-pool.ts";
import type { OutboundAliases } from "./outbound-aliases.ts";
import { ALIASED_BYTES_MIN } from "./outbound-aliases.ts";

/** Delivery flags: bits 0–1 the QoS, bit 2 RETAIN, bit 3 DUP. */
export const DELIVERY_QOS = 0b0011;
export const DELIVERY_RETAIN = 0b0100;
export const DELIVERY_DUP = 0b1000;

/** A payload at least this long is not copied: the tail of the buffer refers to it. */
export const TAIL_BYTES_MIN = 16_384;

/** The client that receives a PUBLISH. */
export interface Receiver {
  /** Whether its packets have properties: MQTT 5.0 only. */
  readonly hasProperties: boolean;
  /** Null: the client accepts no topic aliases. */
  readonly outboundAliases: OutboundAliases | null;
  /** The client's Maximum Packet Size, or Infinity. */
  readonly packetBytesMax: number;
}

/** A PUBLISH to be written. The caller keeps one record and fills it for each packet. */
export class Delivery {
  message: MessageSlot = 0;
  /** `DELIVERY_QOS`, `DELIVERY_RETAIN` and `DELIVERY_DUP`. */
  flags = 0;
  /** 0 at QoS 0. */
  packetId = 0;
  /** The Subscription Identifier properties for this receiver; null: none. */
  subscriptionIds: Uint8Array | null = null;
}

/** The result of writing a packet. */
export const Written = { Whole: 0, /** Nothing was written. */ NoRoom: 1, TooLong: 2 } as const;
export type Written = (typeof Written)[keyof typeof Written];

/**
 * Appends the packet to `out`, unless it does not fit or exceeds the receiver's Maximum Packet
 * Size. A packet that sets `out.tail` is the last one that the buffer takes. Every packet fits an
 * empty buffer.
 */
export function writePublish(
  messages: MessagePool,
  delivery: Delivery,
  receiver: Receiver,
  out: OutBuffer,
): Written {
  const { message, flags } = delivery;
  const payloadBytes = messages.payloadBytes(message);
  const idBytes = (flags & DELIVERY_QOS) !== 0 ? 2 : 0;
  let topicBytes = messages.topicBytes(message);
  let alias = 0;
  let propertyBytes = NO_PROPERTIES;
  let remaining = topicBytes + idBytes + payloadBytes;
  if (receiver.hasProperties) {
    const { subscriptionIds } = delivery;
    alias = chooseAlias(messages, message, receiver.outboundAliases);
    if (alias > 0) topicBytes = EMPTY_TOPIC_BYTES;
    propertyBytes = messages.propertyBytes(message);
    if (subscriptionIds !== null) propertyBytes += subscriptionIds.length;
    if (alias !== 0) propertyBytes += ALIAS_BYTES;
    if (messages.expiresAt(message) !== NEVER) propertyBytes += EXPIRY_BYTES;
    remaining =
      topicBytes + idBytes + remainingLengthBytes(propertyBytes) + propertyBytes + payloadBytes;
    if (alias < 0 && isTooLong(remaining, receiver.packetBytesMax)) {
      // If the packet is too large only because it sets an alias, it is sent without one.
      alias = 0;
      propertyBytes -= ALIAS_BYTES;
      remaining =
        topicBytes + idBytes + remainingLengthBytes(propertyBytes) + propertyBytes + payloadBytes;
    }
  }
  const isTail = payloadBytes >= TAIL_BYTES_MIN;
  if (isTooLong(remaining, receiver.packetBytesMax)) return Written.TooLong;
  let to = out.bytes;
  let at = out.length;
  const needed = FIXED_HEADER_BYTES_MAX + remaining - (isTail ? payloadBytes : 0);
  // In the rare case that even the part before the payload overruns an empty buffer, the packet
  // becomes the tail.
  const isWhole = needed > to.length - at;
  if (isWhole) {
    if (at > 0) return Written.NoRoom;
    to = new Uint8Array(1 + remainingLengthBytes(remaining) + remaining);
  }
  layout.topicBytes = topicBytes;
  layout.alias = alias;
  layout.propertyBytes = propertyBytes;
  at = writeHeader(to, at, flags, remaining);
  if (alias < 0) receiver.outboundAliases!.confirmSent(messages.topic(message), -alias);
  // An alias for a long topic makes a short packet; its message may still have a buffer of its own.
  const from = remaining <= VIEW_BYTES_MIN && !isWhole ? messages.view(message) : null;
  if (from !== null) {
    out.length = writeShort(messages, delivery, from, to, at);
    return Written.Whole;
  }
  at = writeFields(messages, delivery, to, at);
  if (isWhole) {
    to.set(messages.payload(message), at);
    out.tail = to;
    return Written.Whole;
  }
  if (isTail) {
    out.tail = messages.lend(message);
  } else if (payloadBytes > VIEW_BYTES_MIN) {
    to.set(messages.payload(message), at);
    at += payloadBytes;
  } else {
    const start = messages.payloadStart(message);
    at = messages.copy(message, start, start + payloadBytes, to, at);
  }
  out.length = at;
  return Written.Whole;
}

/** Writes a short packet after its header, by words; returns its end. */
function writeShort(
  messages: MessagePool,
  delivery: Delivery,
  from: DataView,
  to: Uint8Array,
  at: number,
): number {
  const { message } = delivery;
  const { topicBytes, alias, propertyBytes } = layout;
  const view = outputView(to);
  const idBytes = (delivery.flags & DELIVERY_QOS) !== 0 ? 2 : 0;
  const start = messages.topicStart(message);
  const payloadStart = messages.payloadStart(message);
  const payloadEnd = payloadStart + messages.payloadBytes(message);
  const gap = propertyBytes === NO_PROPERTIES ? idBytes : idBytes + 1;
  // If the message was received in the same layout without properties, topic, gap and payload are
  // one copy.
  const isPiece = propertyBytes <= 0 && payloadStart === start + topicBytes + gap;
  if (isPiece) copyWords(from, start, payloadEnd, view, at);
  else if (alias <= 0) copyWords(from, start, start + topicBytes, view, at);
  else view.setUint16(at, 0);
  at += topicBytes;
  if (idBytes !== 0) {
    view.setUint16(at, delivery.packetId);
    at += idBytes;
  }
  if (propertyBytes !== NO_PROPERTIES) {
    to[at++] = propertyBytes;
    const { subscriptionIds } = delivery;
    if (alias > 0 && propertyBytes === ALIAS_BYTES) {
      to[at] = Property.TopicAlias;
      view.setUint16(at + 1, alias);
      at += ALIAS_BYTES;
    } else if (subscriptionIds !== null && propertyBytes === subscriptionIds.length) {
      for (let i = 0; i < subscriptionIds.length; i++) to[at++] = subscriptionIds[i]!; // [MQTT-3.3.4-3]
    } else if (propertyBytes > 0) {
      at = writeProperties(messages, delivery, to, at);
    }
  }
  if (!isPiece) copyWords(from, payloadStart, payloadEnd, view, at);
  return at + payloadEnd - payloadStart;
}

/** Writes the variable header (topic name, packet identifier, properties); returns its end. */
function writeFields(
  messages: MessagePool,
  delivery: Delivery,
  to: Uint8Array,
  at: number,
): number {
  const { message, flags, packetId } = delivery;
  const { topicBytes, alias, propertyBytes } = layout;
  if (alias > 0) {
    to[at] = 0;
    to[at + 1] = 0;
    at += 2;
  } else {
    const start = messages.topicStart(message);
    at = messages.copy(message, start, start + topicBytes, to, at);
  }
  if ((flags & DELIVERY_QOS) !== 0) {
    to[at] = packetId >> 8;
    to[at + 1] = packetId & 0xff;
    at += 2;
  }
  if (propertyBytes === NO_PROPERTIES) return at;
  at = writeRemainingLength(to, at, propertyBytes);
  return propertyBytes > 0 ? writeProperties(messages, delivery, to, at) : at;
}

/**
 * The layout of the current packet. Packets are written one at a time, so one record serves all.
 */
const layout = {
  topicBytes: 0,
  /** Positive: the client knows the alias; negative: this packet sets it; 0: none. */
  alias: 0,
  /** `NO_PROPERTIES`: the receiver uses 3.1.1. */
  propertyBytes: 0,
};

/** Whether a packet with this remaining length is longer than `bytesMax`. */
function isTooLong(remaining: number, bytesMax: number): boolean {
  if (bytesMax >= FIXED_HEADER_BYTES_MAX + remaining) return false;
  return bytesMax < 1 + remainingLengthBytes(remaining) + remaining;
}

function chooseAlias(
  messages: MessagePool,
  message: MessageSlot,
  aliases: OutboundAliases | null,
): number {
  if (aliases === null || messages.topicBytes(message) < ALIASED_BYTES_MIN) return 0;
  const topic = messages.topic(message);
  return topic === 0 ? 0 : aliases.choose(topic, messages.topicEpoch(message));
}

function writeProperties(
  messages: MessagePool,
  { message, subscriptionIds }: Delivery,
  to: Uint8Array,
  at: number,
): number {
  const { alias } = layout;
  if (alias !== 0) {
    const value = Math.abs(alias);
    to[at] = Property.TopicAlias;
    to[at + 1] = value >> 8;
    to[at + 2] = value & 0xff;
    at += ALIAS_BYTES;
  }
  const expiresAt = messages.expiresAt(message);
  if (expiresAt !== NEVER) {
    // A message that was sent in time and is resent may have expired meanwhile [MQTT-3.3.2-6].
    const seconds = Math.max(0, Math.ceil((expiresAt - messages.now) / 1000));
    to[at] = Property.MessageExpiryInterval;
    to[at + 1] = seconds >>> 24;
    to[at + 2] = (seconds >>> 16) & 0xff;
    to[at + 3] = (seconds >>> 8) & 0xff;
    to[at + 4] = seconds & 0xff;
    at += EXPIRY_BYTES;
  }
  if (subscriptionIds !== null) {
    copyBytes(subscriptionIds, 0, subscriptionIds.length, to, at); // [MQTT-3.3.4-3]
    at += subscriptionIds.length;
  }
  const start = messages.propertyStart(message);
  return messages.copy(message, start, start + messages.propertyBytes(message), to, at);
}

function writeHeader(to: Uint8Array, at: number, flags: number, remaining: number): number {
  to[at++] =
    PUBLISH |
    ((flags & DELIVERY_QOS) << 1) |
    ((flags & DELIVERY_RETAIN) >> 2) |
    (flags & DELIVERY_DUP);
  return writeRemainingLength(to, at, remaining);
}

const PUBLISH = 0x30;
const FIXED_HEADER_BYTES_MAX = 5;
/** The packet has not even a property length: the receiver uses 3.1.1. */
const NO_PROPERTIES = -1;
const EMPTY_TOPIC_BYTES = 2;
const ALIAS_BYTES = 3;
const EXPIRY_BYTES = 5;
