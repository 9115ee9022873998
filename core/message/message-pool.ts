/**
 * Application messages: reference-counted slots whose properties are columns.
 *
 * A message holds its topic field, its properties and its payload as they stand in a PUBLISH packet, once,
 * however many receivers it has; what differs between receivers (QoS, DUP, RETAIN, packet identifier, the
 * time that is left, aliases) is written when a packet leaves (publish-writer.ts). Everything that holds a message (a queue entry, a window entry,
 * the retained store, a will) holds one reference.
 */
import { assert } from "../base/assert.ts";
import { BlockPool } from "../base/blocks.ts";
import type { BufferPool } from "../base/buffers.ts";
import { copyBytes } from "../base/bytes.ts";
import { grownF64, grownU8, grownU32 } from "../base/columns.ts";
import { Slots } from "../base/slots.ts";
import type { Millis, QoS } from "../boundary.ts";
import { Counter } from "../observe/counters.ts";

/** Slot of a message; 0 is none. */
export type MessageSlot = number;

/** Where a message is made from. */
export interface MessageSource {
  /** What topic field, properties and payload lie in. */
  readonly bytes: Uint8Array;
  /** The topic field, its two bytes of length included: `bytes[topicStart, topicEnd)`. */
  readonly topicStart: number;
  readonly topicEnd: number;
  /** The topic field where it is not in `bytes`: a topic alias stands for it. */
  readonly aliased: Uint8Array | null;
  /** The properties that receivers get: runs `bytes[start, end)`, two numbers each. */
  readonly propertyRuns: readonly number[];
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly qos: QoS;
  /** Whether it was published with RETAIN. */
  readonly isRetained: boolean;
  /** From here on it is not delivered any more; NEVER for most. */
  readonly expiresAt: Millis;
  /** The buffer that `bytes` begins, where the message may have it; null: what it needs is copied. */
  readonly owned: Uint8Array | null;
}

export class MessagePool {
  /** The time of the call at hand, for what expires. */
  now: Millis = 0 as Millis;
  readonly #counters: Float64Array;
  readonly #blocks: BlockPool;
  readonly #slots = new Slots(MESSAGES_MAX);
  #references: Uint32Array = new Uint32Array(0);
  #handles: Uint32Array = new Uint32Array(0);
  #topics: Uint32Array = new Uint32Array(0);
  #topicEpochs: Uint32Array = new Uint32Array(0);
  #topicStarts: Uint32Array = new Uint32Array(0);
  #topicBytes: Uint32Array = new Uint32Array(0);
  #payloadStarts: Uint32Array = new Uint32Array(0);
  #payloadBytes: Uint32Array = new Uint32Array(0);
  #propertyStarts: Uint32Array = new Uint32Array(0);
  #propertyBytes: Uint32Array = new Uint32Array(0);
  /** QoS in bits 0–1, and `PUBLISHED_RETAIN`. */
  #published: Uint8Array = new Uint8Array(0);
  #expiresAt: Float64Array = new Float64Array(0);
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

  /** A message with one reference; 0: no memory, counted. */
  create(source: MessageSource): MessageSlot {
    const { bytes, propertyRuns: runs, aliased, topicEnd, payloadEnd } = source;
    let { topicStart, payloadStart } = source;
    const topicBytes = aliased === null ? topicEnd - topicStart : aliased.length;
    const payloadBytes = payloadEnd - payloadStart;
    let propertyBytes = 0;
    for (let i = 0; i < runs.length; i += 2) propertyBytes += runs[i + 1]! - runs[i]!;
    let propertyStart = runs.length === 0 ? 0 : runs[0]!;
    let handle: number;
    if (source.owned !== null && aliased === null && runs.length <= 2) {
      handle = this.#blocks.adopt(source.owned);
      if (handle !== 0) this.#adoptedCount++;
    } else {
      handle = this.#blocks.allocate(topicBytes + propertyBytes + payloadBytes);
      if (handle !== 0) {
        const to = this.#blocks.bytes(handle);
        const at = this.#blocks.offset(handle);
        if (aliased === null) copyBytes(bytes, topicStart, topicEnd, to, at);
        else copyBytes(aliased, 0, topicBytes, to, at);
        topicStart = at;
        propertyStart = at + topicBytes;
        payloadStart = propertyStart + propertyBytes;
        let next = propertyStart;
        for (let i = 0; i < runs.length; i += 2) {
          copyBytes(bytes, runs[i]!, runs[i + 1]!, to, next);
          next += runs[i + 1]! - runs[i]!;
        }
        copyBytes(bytes, source.payloadStart, payloadEnd, to, payloadStart);
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
    this.#topics[slot] = 0;
    this.#topicStarts[slot] = topicStart;
    this.#topicBytes[slot] = topicBytes;
    this.#payloadStarts[slot] = payloadStart;
    this.#payloadBytes[slot] = payloadBytes;
    this.#propertyStarts[slot] = propertyStart;
    this.#propertyBytes[slot] = propertyBytes;
    this.#published[slot] = source.qos | (source.isRetained ? PUBLISHED_RETAIN : 0);
    this.#expiresAt[slot] = source.expiresAt;
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
  /** The id of its topic, of `topicEpoch`. */
  topic(slot: MessageSlot): number {
    return this.#topics[slot]!;
  }
  topicEpoch(slot: MessageSlot): number {
    return this.#topicEpochs[slot]!;
  }
  setTopic(slot: MessageSlot, topic: number, epoch: number): void {
    this.#topics[slot] = topic;
    this.#topicEpochs[slot] = epoch;
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
  propertyStart(slot: MessageSlot): number {
    return this.#propertyStarts[slot]!;
  }
  /** Bytes of the properties that every receiver gets, without a length before them. */
  propertyBytes(slot: MessageSlot): number {
    return this.#propertyBytes[slot]!;
  }
  /** Bytes that the message counts for in queue limits: topic field, properties and payload. */
  size(slot: MessageSlot): number {
    return this.#topicBytes[slot]! + this.#propertyBytes[slot]! + this.#payloadBytes[slot]!;
  }
  /** The QoS it was published with. */
  qos(slot: MessageSlot): QoS {
    return (this.#published[slot]! & PUBLISHED_QOS) as QoS;
  }
  /** Whether it was published with RETAIN. */
  isRetained(slot: MessageSlot): boolean {
    return this.#published[slot]! > PUBLISHED_QOS;
  }
  isExpired(slot: MessageSlot): boolean {
    return this.#expiresAt[slot]! <= this.now;
  }
  setExpiresAt(slot: MessageSlot, expiresAt: Millis): void {
    this.#expiresAt[slot] = expiresAt;
  }
  /** When it is not to be delivered any more; NEVER for most. */
  expiresAt(slot: MessageSlot): Millis {
    return this.#expiresAt[slot] as Millis;
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
    this.#topics = grownU32(this.#topics, slot);
    this.#topicEpochs = grownU32(this.#topicEpochs, slot);
    this.#topicStarts = grownU32(this.#topicStarts, slot);
    this.#topicBytes = grownU32(this.#topicBytes, slot);
    this.#payloadStarts = grownU32(this.#payloadStarts, slot);
    this.#payloadBytes = grownU32(this.#payloadBytes, slot);
    this.#propertyStarts = grownU32(this.#propertyStarts, slot);
    this.#propertyBytes = grownU32(this.#propertyBytes, slot);
    this.#published = grownU8(this.#published, slot);
    this.#expiresAt = grownF64(this.#expiresAt, slot);
    this.#born = grownF64(this.#born, slot);
    this.#waitsFor = grownU32(this.#waitsFor, slot);
    while (this.#views.length < this.#references.length) this.#views.push(null);
  }
}

const PUBLISHED_QOS = 0b011;
const PUBLISHED_RETAIN = 0b100;
/** Each message is at least one block, so that memory runs out long before slots do. */
const MESSAGES_MAX = 2 ** 28;
/** Longer payloads are copied with `set` from a kept view, shorter ones in a loop. */
export const VIEW_BYTES_MIN = 96;
