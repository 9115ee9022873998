/**
 * Writes the PUBLISH packet of a message for one receiver.
 *
 * The message holds topic field and payload as they stand in the packet, so writing is a header, one or
 * two copies and the packet identifier: no allocation for a receiver.
 */
import type { OutBuffer } from "../boundary.ts";
import { remainingLengthBytes, writeRemainingLength } from "../codec/varint.ts";
import type { MessagePool, MessageSlot } from "./message-pool.ts";
import { VIEW_BYTES_MIN } from "./message-pool.ts";

/** What a delivery is: bits 0–1 the QoS, bit 2 RETAIN, bit 3 DUP. */
export const DELIVERY_QOS = 0b0011;
export const DELIVERY_RETAIN = 0b0100;
export const DELIVERY_DUP = 0b1000;

/** A payload at least this long goes by reference, as the tail of the buffer. */
export const TAIL_BYTES_MIN = 16_384;

/**
 * Appends the packet to `out`; false, and nothing written, where it does not fit. A packet that sets
 * `out.tail` is the last that the buffer takes. Anything fits an empty buffer.
 */
export function writePublish(
  messages: MessagePool,
  slot: MessageSlot,
  delivery: number,
  packetId: number,
  out: OutBuffer,
): boolean {
  const payloadBytes = messages.payloadBytes(slot);
  const topicBytes = messages.topicBytes(slot);
  const idBytes = (delivery & DELIVERY_QOS) !== 0 ? 2 : 0;
  const remaining = topicBytes + idBytes + payloadBytes;
  const room = out.bytes.length - out.length;
  const isTail = payloadBytes >= TAIL_BYTES_MIN;
  if (FIXED_HEADER_BYTES_MAX + remaining - (isTail ? payloadBytes : 0) > room) {
    if (out.length > 0) return false;
    writeWhole(messages, slot, delivery, packetId, remaining, out);
    return true;
  }
  const to = out.bytes;
  const from = messages.bytes(slot);
  let at = writeHeader(to, out.length, delivery, remaining);
  const topicStart = messages.topicStart(slot);
  if (topicBytes > VIEW_BYTES_MIN) {
    to.set(from.subarray(topicStart, topicStart + topicBytes), at);
  } else {
    for (let i = 0; i < topicBytes; i++) to[at + i] = from[topicStart + i]!;
  }
  at += topicBytes;
  if (idBytes !== 0) {
    to[at] = packetId >> 8;
    to[at + 1] = packetId & 0xff;
    at += 2;
  }
  if (isTail) {
    out.tail = messages.lend(slot);
  } else if (payloadBytes > VIEW_BYTES_MIN) {
    to.set(messages.payload(slot), at);
    at += payloadBytes;
  } else {
    const payloadStart = messages.payloadStart(slot);
    for (let i = 0; i < payloadBytes; i++) to[at + i] = from[payloadStart + i]!;
    at += payloadBytes;
  }
  out.length = at;
  return true;
}

/** Bytes of the packet that `writePublish` writes. */
export function publishBytes(messages: MessagePool, slot: MessageSlot, delivery: number): number {
  const remaining = messages.size(slot) + ((delivery & DELIVERY_QOS) !== 0 ? 2 : 0);
  return 1 + remainingLengthBytes(remaining) + remaining;
}

/** The rare packet whose topic and short payload overrun an empty buffer: all of it is the tail. */
function writeWhole(
  messages: MessagePool,
  slot: MessageSlot,
  delivery: number,
  packetId: number,
  remaining: number,
  out: OutBuffer,
): void {
  const tail = new Uint8Array(1 + remainingLengthBytes(remaining) + remaining);
  let at = writeHeader(tail, 0, delivery, remaining);
  const topicStart = messages.topicStart(slot);
  const topicEnd = topicStart + messages.topicBytes(slot);
  tail.set(messages.bytes(slot).subarray(topicStart, topicEnd), at);
  at += topicEnd - topicStart;
  if ((delivery & DELIVERY_QOS) !== 0) {
    tail[at++] = packetId >> 8;
    tail[at++] = packetId & 0xff;
  }
  tail.set(messages.payload(slot), at);
  out.tail = tail;
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
