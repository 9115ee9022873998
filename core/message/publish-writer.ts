/**
 * Writes the PUBLISH packet of a message for one receiver.
 *
 * The message holds topic field, properties and payload as they stand in the packet, so writing is a
 * header, a few copies and what is the receiver's own: no allocation for a receiver.
 */
import { COPY_LOOP_BYTES_MAX, copyBytes, copyWords, viewOf } from "../base/bytes.ts";
import type { OutBuffer } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import { Property } from "../codec/properties.ts";
import { remainingLengthBytes, writeRemainingLength } from "../codec/varint.ts";
import type { MessagePool, MessageSlot } from "./message-pool.ts";
import { VIEW_BYTES_MIN } from "./message-pool.ts";
import type { OutboundAliases } from "./outbound-aliases.ts";
import { ALIASED_BYTES_MIN } from "./outbound-aliases.ts";

/** What a delivery is: bits 0–1 the QoS, bit 2 RETAIN, bit 3 DUP. */
export const DELIVERY_QOS = 0b0011;
export const DELIVERY_RETAIN = 0b0100;
export const DELIVERY_DUP = 0b1000;

/** A payload at least this long goes by reference, as the tail of the buffer. */
export const TAIL_BYTES_MIN = 16_384;

/** What a PUBLISH says to its receiver alone. */
export interface Receiver {
  /** Whether its packets have properties: MQTT 5.0. */
  readonly hasProperties: boolean;
  /** Null: it takes no topic aliases. */
  readonly outboundAliases: OutboundAliases | null;
}

/** What became of a packet that was to be written. */
export const Written = { Whole: 0, /** Nothing was written. */ NoRoom: 1, TooLong: 2 } as const;
export type Written = (typeof Written)[keyof typeof Written];

/**
 * Appends the packet to `out`, unless it does not fit, or is longer than `bytesMax`. A packet that sets
 * `out.tail` is the last that the buffer takes. Anything fits an empty buffer. `own`: the Subscription
 * Identifiers of its receiver, or null.
 */
export function writePublish(
  messages: MessagePool,
  slot: MessageSlot,
  delivery: number,
  packetId: number,
  receiver: Receiver,
  own: Uint8Array | null,
  bytesMax: number,
  out: OutBuffer,
): Written {
  const payloadBytes = messages.payloadBytes(slot);
  const idBytes = (delivery & DELIVERY_QOS) !== 0 ? 2 : 0;
  let topicBytes = messages.topicBytes(slot);
  let alias = 0;
  let propertyBytes = 0;
  let remaining = topicBytes + idBytes + payloadBytes;
  if (receiver.hasProperties) {
    alias = chooseAlias(messages, slot, receiver.outboundAliases);
    if (alias > 0) topicBytes = EMPTY_TOPIC_BYTES;
    propertyBytes = messages.propertyBytes(slot) + (own === null ? 0 : own.length);
    if (alias !== 0) propertyBytes += ALIAS_BYTES;
    if (messages.expiresAt(slot) !== NEVER) propertyBytes += EXPIRY_BYTES;
    remaining =
      topicBytes + idBytes + remainingLengthBytes(propertyBytes) + propertyBytes + payloadBytes;
    if (alias < 0 && isTooLong(remaining, bytesMax)) {
      // What would fit but for the alias goes without.
      alias = 0;
      propertyBytes -= ALIAS_BYTES;
      remaining =
        topicBytes + idBytes + remainingLengthBytes(propertyBytes) + propertyBytes + payloadBytes;
    }
  }
  const isTail = payloadBytes >= TAIL_BYTES_MIN;
  if (isTooLong(remaining, bytesMax)) return Written.TooLong;
  let to = out.bytes;
  let at = out.length;
  const needed = FIXED_HEADER_BYTES_MAX + remaining - (isTail ? payloadBytes : 0);
  // The rare packet that overruns an empty buffer without its payload: all of it is the tail.
  const isWhole = needed > to.length - at;
  if (isWhole) {
    if (at > 0) return Written.NoRoom;
    to = new Uint8Array(1 + remainingLengthBytes(remaining) + remaining);
  }
  at = writeHeader(to, at, delivery, remaining);
  // A long topic that an alias stands for makes a short packet of a message with a buffer of its own.
  const from = remaining <= VIEW_BYTES_MIN && !isWhole ? messages.view(slot) : null;
  if (from !== null) {
    const bytes = receiver.hasProperties ? propertyBytes : NO_PROPERTIES;
    at = writeShort(messages, slot, from, topicBytes, alias, idBytes, packetId, bytes, own, to, at);
    if (alias < 0) receiver.outboundAliases!.confirmSent(messages.topic(slot));
    out.length = at;
    return Written.Whole;
  }
  if (alias > 0) {
    to[at] = 0;
    to[at + 1] = 0;
    at += 2;
  } else {
    at = copy(messages, slot, messages.topicStart(slot), topicBytes, to, at);
  }
  if (idBytes !== 0) {
    to[at] = packetId >> 8;
    to[at + 1] = packetId & 0xff;
    at += 2;
  }
  if (receiver.hasProperties) {
    at = writeRemainingLength(to, at, propertyBytes);
    if (propertyBytes > 0) at = writeProperties(messages, slot, alias, own, to, at);
    if (alias < 0) receiver.outboundAliases!.confirmSent(messages.topic(slot));
  }
  if (isWhole) {
    to.set(messages.payload(slot), at);
    out.tail = to;
    return Written.Whole;
  }
  if (isTail) {
    out.tail = messages.lend(slot);
  } else if (payloadBytes > VIEW_BYTES_MIN) {
    to.set(messages.payload(slot), at);
    at += payloadBytes;
  } else {
    at = copy(messages, slot, messages.payloadStart(slot), payloadBytes, to, at);
  }
  out.length = at;
  return Written.Whole;
}

/** What follows the header of a short packet, by words; returns where it ends. */
function writeShort(
  messages: MessagePool,
  slot: MessageSlot,
  from: DataView,
  topicBytes: number,
  alias: number,
  idBytes: number,
  packetId: number,
  propertyBytes: number,
  own: Uint8Array | null,
  to: Uint8Array,
  at: number,
): number {
  const view = outView(to);
  const start = messages.topicStart(slot);
  const payloadStart = messages.payloadStart(slot);
  const payloadEnd = payloadStart + messages.payloadBytes(slot);
  const gap = propertyBytes === NO_PROPERTIES ? idBytes : idBytes + 1;
  // Without properties, what came the same way is one piece: topic, a gap, payload.
  const isPiece = propertyBytes <= 0 && payloadStart === start + topicBytes + gap;
  if (isPiece) copyWords(from, start, payloadEnd, view, at);
  else if (alias <= 0) copyWords(from, start, start + topicBytes, view, at);
  else view.setUint16(at, 0);
  at += topicBytes;
  if (idBytes !== 0) {
    view.setUint16(at, packetId);
    at += idBytes;
  }
  if (propertyBytes !== NO_PROPERTIES) {
    to[at++] = propertyBytes;
    if (alias > 0 && propertyBytes === ALIAS_BYTES) {
      to[at] = Property.TopicAlias;
      view.setUint16(at + 1, alias);
      at += ALIAS_BYTES;
    } else if (own !== null && propertyBytes === own.length) {
      for (let i = 0; i < own.length; i++) to[at++] = own[i]!; // [MQTT-3.3.4-3]
    } else if (propertyBytes > 0) {
      at = writeProperties(messages, slot, alias, own, to, at);
    }
  }
  if (!isPiece) copyWords(from, payloadStart, payloadEnd, view, at);
  return at + payloadEnd - payloadStart;
}

/** A view of the buffer that is written into, which is the same for long. */
function outView(bytes: Uint8Array): DataView {
  if (bytes !== viewed) {
    viewed = bytes;
    view = viewOf(bytes);
  }
  return view;
}
let viewed: Uint8Array = new Uint8Array(0);
let view: DataView = viewOf(viewed);

/** Whether a packet with this remaining length is longer than `bytesMax`. */
function isTooLong(remaining: number, bytesMax: number): boolean {
  if (bytesMax >= FIXED_HEADER_BYTES_MAX + remaining) return false;
  return bytesMax < 1 + remainingLengthBytes(remaining) + remaining;
}

function chooseAlias(
  messages: MessagePool,
  slot: MessageSlot,
  aliases: OutboundAliases | null,
): number {
  if (aliases === null || messages.topicBytes(slot) < ALIASED_BYTES_MIN) return 0;
  const topic = messages.topic(slot);
  return topic === 0 ? 0 : aliases.choose(topic, messages.topicEpoch(slot));
}

function writeProperties(
  messages: MessagePool,
  slot: MessageSlot,
  alias: number,
  own: Uint8Array | null,
  to: Uint8Array,
  at: number,
): number {
  if (alias !== 0) {
    const value = Math.abs(alias);
    to[at] = Property.TopicAlias;
    to[at + 1] = value >> 8;
    to[at + 2] = value & 0xff;
    at += ALIAS_BYTES;
  }
  const expiresAt = messages.expiresAt(slot);
  if (expiresAt !== NEVER) {
    // What was sent in time and is sent again may be over meanwhile [MQTT-3.3.2-6].
    const seconds = Math.max(0, Math.ceil((expiresAt - messages.now) / 1000));
    to[at] = Property.MessageExpiryInterval;
    to[at + 1] = seconds >>> 24;
    to[at + 2] = (seconds >>> 16) & 0xff;
    to[at + 3] = (seconds >>> 8) & 0xff;
    to[at + 4] = seconds & 0xff;
    at += EXPIRY_BYTES;
  }
  if (own !== null) {
    copyBytes(own, 0, own.length, to, at); // [MQTT-3.3.4-3]
    at += own.length;
  }
  return copy(messages, slot, messages.propertyStart(slot), messages.propertyBytes(slot), to, at);
}

/** Copies bytes of a message; returns where they end. */
function copy(
  messages: MessagePool,
  slot: MessageSlot,
  start: number,
  byteCount: number,
  to: Uint8Array,
  at: number,
): number {
  const view = byteCount > COPY_LOOP_BYTES_MAX ? null : messages.view(slot);
  if (view === null) copyBytes(messages.bytes(slot), start, start + byteCount, to, at);
  else copyWords(view, start, start + byteCount, outView(to), at);
  return at + byteCount;
}

function writeHeader(to: Uint8Array, at: number, delivery: number, remaining: number): number {
  to[at++] =
    PUBLISH |
    ((delivery & DELIVERY_QOS) << 1) |
    ((delivery & DELIVERY_RETAIN) >> 2) |
    (delivery & DELIVERY_DUP);
  return writeRemainingLength(to, at, remaining);
}

const PUBLISH = 0x30;
const FIXED_HEADER_BYTES_MAX = 5;
/** Not even their length: a receiver of 3.1.1. */
const NO_PROPERTIES = -1;
const EMPTY_TOPIC_BYTES = 2;
const ALIAS_BYTES = 3;
const EXPIRY_BYTES = 5;
