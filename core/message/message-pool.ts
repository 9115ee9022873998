/**
 * Application messages: reference-counted slots whose properties are columns.
 *
 * A message holds its topic field and its payload as they stand in a PUBLISH packet, once, however many
 * receivers it has; what differs between receivers (QoS, DUP, RETAIN, packet identifier) is written when
 * a packet leaves (publish-writer.ts). Everything that holds a message (a queue entry, a window entry,
 * the retained store, a will) holds one reference.
 */
import { assert } from "../base/assert.ts";
import { BlockPool } from "../base/blocks.ts";
import type { BufferPool } from "../base/buffers.ts";
import { copyBytes } from "../base/bytes.ts";
import { grownF64, grownU8, grownU32 } from "../base/columns.ts";
import { Slots } from "../base/slots.ts";
import type { QoS } from "../boundary.ts";
import { Counter } from "../observe/counters.ts";

/** Slot of a message; 0 is none. */
export type MessageSlot = number;

export class MessagePool {
  readonly #counters: Float64Array;
  readonly #blocks: BlockPool;
  readonly #slots = new Slots(MESSAGES_MAX);
  #references: Uint32Array = new Uint32Array(0);
  #handles: Uint32Array = new Uint32Array(0);
  #topicStarts: Uint32Array = new Uint32Array(0);
  #topicBytes: Uint32Array = new Uint32Array(0);
  #payloadStarts: Uint32Array = new Uint32Array(0);
  #payloadBytes: Uint32Array = new Uint32Array(0);
  #qos: Uint8Array = new Uint8Array(0);
  #born: Float64Array = new Float64Array(0);
  #waitsFor: Uint32Array = new Uint32Array(0);
  /** Views of payloads that are too long to copy in a loop, made once a message, on demand. */
  readonly #views: (Uint8Array | null)[] = [];
  #lastBorn = 0;
  /** The buffer that was lent last, and the handle it had. */
  #lent: Uint8Array | null = null;
  #lentHandle = 0;
  #adoptedCount = 0;

  constructor(bytesMax: number, counters: Float64Array, buffers?: BufferPool) {
    this.#blocks = new BlockPool(bytesMax, buffers);
    this.#counters = counters;
  }

  /**
   * A message with one reference, from the topic field `bytes[topicStart, topicEnd)`, its two bytes of
   * length included, and the payload `bytes[payloadStart, payloadEnd)`. Copies both, unless the message
   * may have `owned`, a buffer of the pool that `bytes` begins. 0: no memory, counted.
   */
  create(
    bytes: Uint8Array,
    topicStart: number,
    topicEnd: number,
    payloadStart: number,
    payloadEnd: number,
    qos: QoS,
    owned: Uint8Array | null,
  ): MessageSlot {
    const topicBytes = topicEnd - topicStart;
    const payloadBytes = payloadEnd - payloadStart;
    let handle: number;
    if (owned !== null) {
      handle = this.#blocks.adopt(owned);
      if (handle !== 0) this.#adoptedCount++;
    } else {
      handle = this.#blocks.allocate(topicBytes + payloadBytes);
      if (handle !== 0) {
        const to = this.#blocks.bytes(handle);
        const at = this.#blocks.offset(handle);
        copyBytes(bytes, topicStart, topicEnd, to, at);
        copyBytes(bytes, payloadStart, payloadEnd, to, at + topicBytes);
        topicStart = at;
        payloadStart = at + topicBytes;
      }
    }
    const slot = handle === 0 ? 0 : this.#slots.take();
    if (slot === 0) {
      if (handle !== 0) this.#blocks.free(handle);
      this.#counters[Counter.droppedNoMemory]!++;
      return 0;
    }
    if (slot >= this.#references.length) this.#grow(slot);
    this.#references[slot] = 1;
    this.#handles[slot] = handle;
    this.#topicStarts[slot] = topicStart;
    this.#topicBytes[slot] = topicBytes;
    this.#payloadStarts[slot] = payloadStart;
    this.#payloadBytes[slot] = payloadBytes;
    this.#qos[slot] = qos;
    this.#born[slot] = ++this.#lastBorn;
    this.#waitsFor[slot] = 0;
    this.#counters[Counter.messages]!++;
    this.#counters[Counter.messageBytes] = this.#blocks.usedBytes;
    return slot;
  }

  retain(slot: MessageSlot): void {
    this.#references[slot]!++;
  }

  /** How many hold it. */
  references(slot: MessageSlot): number {
    return this.#references[slot]!;
  }

  release(slot: MessageSlot): void {
    const left = this.#references[slot]! - 1;
    assert(left >= 0, "a message is released at most as often as it was retained");
    this.#references[slot] = left;
    if (left > 0) return;
    this.#blocks.free(this.#handles[slot]!);
    if (this.#payloadBytes[slot]! > VIEW_BYTES_MIN) this.#views[slot] = null;
    this.#slots.give(slot);
    this.#counters[Counter.messages]!--;
    this.#counters[Counter.messageBytes] = this.#blocks.usedBytes;
  }

  /** The memory in which topic field and payload lie, at `topicStart` and `payloadStart`. */
  bytes(slot: MessageSlot): Uint8Array {
    return this.#blocks.bytes(this.#handles[slot]!);
  }
  topicStart(slot: MessageSlot): number {
    return this.#topicStarts[slot]!;
  }
  /** Bytes of the topic field, its two bytes of length included. */
  topicBytes(slot: MessageSlot): number {
    return this.#topicBytes[slot]!;
  }
  payloadStart(slot: MessageSlot): number {
    return this.#payloadStarts[slot]!;
  }
  payloadBytes(slot: MessageSlot): number {
    return this.#payloadBytes[slot]!;
  }
  /** Bytes that the message counts for in queue limits: topic field and payload. */
  size(slot: MessageSlot): number {
    return this.#topicBytes[slot]! + this.#payloadBytes[slot]!;
  }
  /** The QoS it was published with. */
  qos(slot: MessageSlot): QoS {
    return this.#qos[slot] as QoS;
  }
  /** The write that has to be durable before the message is sent, its low 32 bits; 0 is none. */
  waitsFor(slot: MessageSlot): number {
    return this.#waitsFor[slot]!;
  }
  setWaitsFor(slot: MessageSlot, seq: number): void {
    this.#waitsFor[slot] = seq >>> 0;
  }
  /** Number of the message since the start: a later one has a larger number. */
  born(slot: MessageSlot): number {
    return this.#born[slot]!;
  }
  /** The number of the newest message. */
  get lastBorn(): number {
    return this.#lastBorn;
  }

  /** A view of the payload, valid while the message is referenced; longer payloads share one view. */
  payload(slot: MessageSlot): Uint8Array {
    const isKept = this.#payloadBytes[slot]! > VIEW_BYTES_MIN;
    const kept = isKept ? this.#views[slot] : null;
    if (kept) return kept;
    const start = this.#payloadStarts[slot]!;
    const view = this.bytes(slot).subarray(start, start + this.#payloadBytes[slot]!);
    if (isKept) this.#views[slot] = view;
    return view;
  }

  /** The payload, for a host to read until it calls again: `keepLent` where it goes on reading. */
  lend(slot: MessageSlot): Uint8Array {
    this.#lentHandle = this.#handles[slot]!;
    this.#lent = this.#blocks.bytes(this.#lentHandle);
    return this.payload(slot);
  }
  keepLent(): void {
    if (this.#lent !== null) this.#blocks.keep(this.#lentHandle, this.#lent);
    this.#lent = null;
  }

  /** How many buffers have become messages so far. */
  get adoptedCount(): number {
    return this.#adoptedCount;
  }

  #grow(slot: number): void {
    this.#references = grownU32(this.#references, slot);
    this.#handles = grownU32(this.#handles, slot);
    this.#topicStarts = grownU32(this.#topicStarts, slot);
    this.#topicBytes = grownU32(this.#topicBytes, slot);
    this.#payloadStarts = grownU32(this.#payloadStarts, slot);
    this.#payloadBytes = grownU32(this.#payloadBytes, slot);
    this.#qos = grownU8(this.#qos, slot);
    this.#born = grownF64(this.#born, slot);
    this.#waitsFor = grownU32(this.#waitsFor, slot);
    while (this.#views.length < this.#references.length) this.#views.push(null);
  }
}

/** Each message is at least one block, so that memory runs out long before slots do. */
const MESSAGES_MAX = 2 ** 28;
/** Longer payloads are copied with `set` from a kept view, shorter ones in a loop. */
export const VIEW_BYTES_MIN = 96;
