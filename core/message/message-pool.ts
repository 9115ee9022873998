/**
 * Application messages: reference-counted slots, each with a record of integers.
 *
 * A message holds its topic field, its properties and its payload once, as they stand in a PUBLISH
 * packet, for all its receivers. Fields that differ by receiver (QoS, DUP, RETAIN, packet
 * identifier, remaining expiry, aliases) are written when a packet is sent (publish-writer.ts).
 * Each holder of a message (a queue entry, a window entry, the retained store, a will) has one
 * reference.
 */
import { assert } from "../base/assert.ts";
import { BlockPool } from "../base/blocks.ts";
import type { BufferPool } from "../base/buffers.ts";
import type { WordBytes } from "../base/bytes.ts";
import { COPY_LOOP_BYTES_MAX, copyBytes, copyWords, outputView } from "../base/bytes.ts";
import { Slots } from "../base/slots.ts";
import type { Millis, QoS } from "../boundary.ts";
import { Counter } from "../observe/counters.ts";
import type { PublishFields } from "./publish-fields.ts";

/** Slot of a message; 0: no message. */
export type MessageSlot = number;

export class MessagePool {
  /** The time of the current call, to tell whether a message is expired. */
  now: Millis = 0 as Millis;
  /** The memory for what is left of paged messages. */
  pagedBytes = 0;
  readonly #bytesMax: number;
  readonly #counters: Float64Array;
  readonly #blocks: BlockPool;
  readonly #slots = new Slots(MESSAGES_MAX);
  /** A record for each message: one cache line. */
  #words: Uint32Array = new Uint32Array(0);
  /** The same memory as doubles. */
  #floats: Float64Array = new Float64Array(0);
  /** Views of payloads that are too long to copy in a loop. Each is created once, on demand. */
  readonly #views: (Uint8Array | null)[] = [];
  #lastSerial = 0;
  /** The buffer that was lent last, and its handle. */
  #lent: Uint8Array | null = null;
  #lentHandle = 0;
  #adoptedCount = 0;

  constructor(bytesMax: number, counters: Float64Array, buffers?: BufferPool) {
    this.#bytesMax = bytesMax;
    this.#blocks = new BlockPool(bytesMax, buffers);
    this.#counters = counters;
  }

  /** The number of messages. */
  get count(): number {
    return this.#slots.count;
  }
  /** The memory that the messages take, their records included. */
  get byteCount(): number {
    return this.#blocks.usedBytes + this.#slots.count * RECORD_BYTES + this.pagedBytes;
  }

  /** Whether a message of `byteCount` bytes certainly fits. */
  hasRoom(byteCount: number): boolean {
    return this.byteCount + RECORD_BYTES + BlockPool.bytesFor(byteCount) <= this.#bytesMax;
  }

  /**
   * Creates a message with one reference. If memory is exhausted, counts the message as dropped and
   * returns 0. `topicEpoch` belongs to `source.topic`.
   */
  create(source: PublishFields, topicEpoch = 0): MessageSlot {
    const { propertyRanges, topicEnd, payloadEnd, isAliased } = source;
    let { topicStart, payloadStart } = source;
    const topicBytes = isAliased ? source.aliased!.bytes.length : topicEnd - topicStart;
    const payloadBytes = payloadEnd - payloadStart;
    let propertyBytes = 0;
    for (let i = 0; i < propertyRanges.length; i += 2) {
      propertyBytes += propertyRanges[i + 1]! - propertyRanges[i]!;
    }
    let propertyStart = propertyRanges.length === 0 ? 0 : propertyRanges[0]!;
    // Copy topic, properties and payload in one piece, together with the bytes between them: most
    // receivers get the same layout. A will is copied in pieces: its properties stand before its
    // topic.
    const isContiguous =
      !isAliased &&
      (propertyRanges.length === 0 ||
        (propertyRanges.length === 2 && propertyRanges[0]! >= topicEnd));
    const isOwned = isContiguous && source.owned !== null;
    const byteCount = isContiguous
      ? payloadEnd - topicStart
      : topicBytes + propertyBytes + payloadBytes;
    let handle = 0;
    // Records count towards the limit too: they are most of the memory of short messages.
    if (this.byteCount + RECORD_BYTES <= this.#bytesMax) {
      handle = isOwned ? this.#blocks.adopt(source.owned!) : this.#blocks.allocate(byteCount);
    }
    const slot = handle === 0 ? 0 : this.#slots.acquire();
    if (slot === 0) {
      if (handle !== 0) this.#blocks.free(handle);
      this.#counters[Counter.droppedNoMemory]!++;
      return 0;
    }
    if (isOwned) {
      this.#adoptedCount++;
    } else {
      const at = this.#blocks.offset(handle);
      if (isContiguous) {
        this.#copy(source, topicStart, payloadEnd, handle, at);
        propertyStart += at - topicStart;
        payloadStart += at - topicStart;
      } else {
        this.#copyPieces(source, topicBytes, handle, at);
        propertyStart = at + topicBytes;
        payloadStart = propertyStart + propertyBytes;
      }
      topicStart = at;
    }
    if (slot * RECORD_WORDS >= this.#words.length) this.#grow(slot);
    const at = slot * RECORD_WORDS;
    const words = this.#words;
    words[at + REFERENCES] = 1;
    words[at + HANDLE] = handle;
    words[at + TOPIC_START] = topicStart;
    words[at + TOPIC_BYTES] = topicBytes;
    words[at + PROPERTY_START] = propertyStart;
    words[at + PROPERTY_BYTES] = propertyBytes;
    words[at + PAYLOAD_START] = payloadStart;
    words[at + PAYLOAD_BYTES] = payloadBytes;
    words[at + TOPIC] = source.topic;
    words[at + TOPIC_EPOCH] = topicEpoch;
    words[at + FLAGS] = source.qos | (source.isRetained ? FLAGS_RETAIN : 0);
    words[at + AWAITED_SEQ] = 0;
    this.#floats[slot * RECORD_FLOATS + SERIAL] = ++this.#lastSerial;
    this.#floats[slot * RECORD_FLOATS + EXPIRES_AT] = source.expiresAt;
    return slot;
  }

  /**
   * Copies the pieces of a message that is not contiguous: with an aliased topic or scattered
   * properties.
   */
  #copyPieces(source: PublishFields, topicBytes: number, handle: number, at: number): void {
    const { propertyRanges, topicStart, topicEnd, payloadStart, payloadEnd } = source;
    if (source.isAliased) this.#copy(source.aliased!, 0, topicBytes, handle, at);
    else this.#copy(source, topicStart, topicEnd, handle, at);
    let next = at + topicBytes;
    for (let i = 0; i < propertyRanges.length; i += 2) {
      const start = propertyRanges[i]!;
      const end = propertyRanges[i + 1]!;
      this.#copy(source, start, end, handle, next);
      next += end - start;
    }
    this.#copy(source, payloadStart, payloadEnd, handle, next);
  }

  #copy({ bytes, view }: WordBytes, start: number, end: number, handle: number, at: number): void {
    const to = this.#blocks.view(handle);
    if (view === null || to === null || end - start > COPY_LOOP_BYTES_MAX) {
      copyBytes(bytes, start, end, this.#blocks.bytes(handle), at);
    } else {
      copyWords(view, start, end, to, at);
    }
  }

  retain(slot: MessageSlot): void {
    this.#words[slot * RECORD_WORDS + REFERENCES]!++;
  }

  /** The number of references. */
  references(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + REFERENCES]!;
  }

  release(slot: MessageSlot): void {
    const left = this.#words[slot * RECORD_WORDS + REFERENCES]! - 1;
    assert(left >= 0, "a message is released at most as often as it was retained");
    this.#words[slot * RECORD_WORDS + REFERENCES] = left;
    if (left > 0) return;
    this.#blocks.free(this.#words[slot * RECORD_WORDS + HANDLE]!);
    if (this.#words[slot * RECORD_WORDS + PAYLOAD_BYTES]! > VIEW_BYTES_MIN)
      this.#views[slot] = null;
    this.#slots.release(slot);
  }

  /** The memory that holds topic field and payload, at `topicStart` and `payloadStart`. */
  bytes(slot: MessageSlot): Uint8Array {
    return this.#blocks.bytes(this.#words[slot * RECORD_WORDS + HANDLE]!);
  }
  /** The same memory, read by words; null if the message has a buffer of its own. */
  view(slot: MessageSlot): DataView | null {
    return this.#blocks.view(this.#words[slot * RECORD_WORDS + HANDLE]!);
  }
  /** Copies bytes `[start, end)` of that memory to `to[at, …)`; returns the end of the copy. */
  copy(slot: MessageSlot, start: number, end: number, to: Uint8Array, at: number): number {
    const view = end - start > COPY_LOOP_BYTES_MAX ? null : this.view(slot);
    if (view === null) copyBytes(this.bytes(slot), start, end, to, at);
    else copyWords(view, start, end, outputView(to), at);
    return at + end - start;
  }
  /** The id of its topic, valid in `topicEpoch`. */
  topic(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + TOPIC]!;
  }
  topicEpoch(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + TOPIC_EPOCH]!;
  }
  setTopic(slot: MessageSlot, topic: number, epoch: number): void {
    this.#words[slot * RECORD_WORDS + TOPIC] = topic;
    this.#words[slot * RECORD_WORDS + TOPIC_EPOCH] = epoch;
  }
  topicStart(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + TOPIC_START]!;
  }
  /** Length of the topic field in bytes, its two length bytes included. */
  topicBytes(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + TOPIC_BYTES]!;
  }
  payloadStart(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + PAYLOAD_START]!;
  }
  payloadBytes(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + PAYLOAD_BYTES]!;
  }
  propertyStart(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + PROPERTY_START]!;
  }
  /** Length of the properties that every receiver gets, without the property length before them. */
  propertyBytes(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + PROPERTY_BYTES]!;
  }
  /** The bytes that count towards queue limits: topic field, properties and payload. */
  size(slot: MessageSlot): number {
    return (
      this.#words[slot * RECORD_WORDS + TOPIC_BYTES]! +
      this.#words[slot * RECORD_WORDS + PROPERTY_BYTES]! +
      this.#words[slot * RECORD_WORDS + PAYLOAD_BYTES]!
    );
  }
  /** The QoS that it was published at. */
  qos(slot: MessageSlot): QoS {
    return (this.#words[slot * RECORD_WORDS + FLAGS]! & FLAGS_QOS) as QoS;
  }
  /** Whether it was published with RETAIN. */
  isRetained(slot: MessageSlot): boolean {
    return (this.#words[slot * RECORD_WORDS + FLAGS]! & FLAGS_RETAIN) !== 0;
  }
  /** Whether its deliveries and their handshakes do not wait for commits. */
  skipsCommits(slot: MessageSlot): boolean {
    return (this.#words[slot * RECORD_WORDS + FLAGS]! & FLAGS_SKIPS_COMMITS) !== 0;
  }
  setSkipsCommits(slot: MessageSlot): void {
    this.#words[slot * RECORD_WORDS + FLAGS]! |= FLAGS_SKIPS_COMMITS;
  }
  isExpired(slot: MessageSlot): boolean {
    return this.#floats[slot * RECORD_FLOATS + EXPIRES_AT]! <= this.now;
  }
  setExpiresAt(slot: MessageSlot, expiresAt: Millis): void {
    this.#floats[slot * RECORD_FLOATS + EXPIRES_AT] = expiresAt;
  }
  /** When the message expires; NEVER for most messages. */
  expiresAt(slot: MessageSlot): Millis {
    return this.#floats[slot * RECORD_FLOATS + EXPIRES_AT] as Millis;
  }
  /**
   * The journal write that must be durable before the message is sent, its low 32 bits; 0: none.
   */
  awaitedSeq(slot: MessageSlot): number {
    return this.#words[slot * RECORD_WORDS + AWAITED_SEQ]!;
  }
  setAwaitedSeq(slot: MessageSlot, seq: number): void {
    this.#words[slot * RECORD_WORDS + AWAITED_SEQ] = seq >>> 0;
  }
  /** The serial number of the message since the start: a later message has a larger one. */
  serial(slot: MessageSlot): number {
    return this.#floats[slot * RECORD_FLOATS + SERIAL]!;
  }
  /** A message of the store has the serial of its record. */
  restoreSerial(slot: MessageSlot, serial: number): void {
    this.#floats[slot * RECORD_FLOATS + SERIAL] = serial;
    this.#lastSerial = Math.max(this.#lastSerial, serial);
  }
  /** A message in the store has this serial: new messages get larger ones. */
  continueAfter(serial: number): void {
    this.#lastSerial = Math.max(this.#lastSerial, serial);
  }
  /** The serial of the newest message. */
  get lastSerial(): number {
    return this.#lastSerial;
  }

  /**
   * A view of the payload, valid while the message is referenced. Longer payloads cache their view.
   */
  payload(slot: MessageSlot): Uint8Array {
    const isKept = this.#words[slot * RECORD_WORDS + PAYLOAD_BYTES]! > VIEW_BYTES_MIN;
    const kept = isKept ? this.#views[slot] : null;
    if (kept) return kept;
    const start = this.#words[slot * RECORD_WORDS + PAYLOAD_START]!;
    const view = this.bytes(slot).subarray(
      start,
      start + this.#words[slot * RECORD_WORDS + PAYLOAD_BYTES]!,
    );
    if (isKept) this.#views[slot] = view;
    return view;
  }

  /**
   * Lends the payload to the host until its next call. `keepLent` lets the host read it for longer.
   */
  lend(slot: MessageSlot): Uint8Array {
    this.#lentHandle = this.#words[slot * RECORD_WORDS + HANDLE]!;
    this.#lent = this.#blocks.bytes(this.#lentHandle);
    return this.payload(slot);
  }
  keepLent(): void {
    if (this.#lent !== null) this.#blocks.keep(this.#lentHandle, this.#lent);
    this.#lent = null;
  }

  /** How many buffers have been adopted as messages so far. */
  get adoptedCount(): number {
    return this.#adoptedCount;
  }

  #grow(slot: number): void {
    const words = new Uint32Array(2 ** Math.ceil(Math.log2((slot + 16) * RECORD_WORDS)));
    words.set(this.#words);
    this.#words = words;
    this.#floats = new Float64Array(words.buffer);
    while (this.#views.length < words.length / RECORD_WORDS) this.#views.push(null);
  }
}

// A record: [references, handle, topic start, topic bytes, property start, property bytes,
// payload start, payload bytes, topic id, topic epoch, flags, awaited seq, serial (f64),
// expires at (f64)]
const RECORD_WORDS = 16;
const RECORD_FLOATS = 8;
export const RECORD_BYTES: number = RECORD_WORDS * 4;
const REFERENCES = 0;
const HANDLE = 1;
const TOPIC_START = 2;
const TOPIC_BYTES = 3;
const PROPERTY_START = 4;
const PROPERTY_BYTES = 5;
const PAYLOAD_START = 6;
const PAYLOAD_BYTES = 7;
const TOPIC = 8;
const TOPIC_EPOCH = 9;
/** QoS in bits 0–1, and `FLAGS_RETAIN`, as published; `FLAGS_SKIPS_COMMITS`. */
const FLAGS = 10;
const AWAITED_SEQ = 11;
const SERIAL = 6;
const EXPIRES_AT = 7;
const FLAGS_QOS = 0b011;
const FLAGS_RETAIN = 0b100;
const FLAGS_SKIPS_COMMITS = 0b1000;
/** Each message has at least one block, so that memory runs out long before slots do. */
const MESSAGES_MAX = 2 ** 28;
/** Longer payloads are copied with `set` from a cached view, shorter ones in a loop. */
export const VIEW_BYTES_MIN: number = COPY_LOOP_BYTES_MAX;
