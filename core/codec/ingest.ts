/**
 * The reference Ingest: finds the frames of a chunk, checks and interns the topic names of PUBLISH
 * packets.
 *
 * An interned name has been checked, so the usual packet costs one hash and one comparison of its
 * topic; UTF-8 is checked once a name.
 */
import { NUMBER_SIGN, PLUS, SLASH } from "../base/characters.ts";
import { grownU8, grownU32 } from "../base/columns.ts";
import { hashBytes } from "../base/hash.ts";
import type { Limits } from "../config.ts";
import type { Ingest } from "../ports.ts";
import { Reason } from "../reason.ts";
import type { NameTable } from "./frames.ts";
import { scanFrames } from "./frames.ts";
import { decodeUtf8, isUtf8 } from "./utf8.ts";

export class ReferenceIngest implements Ingest, NameTable {
  readonly name = "ts";
  readonly seed: number;
  readonly #topicBytesMax: number;
  readonly #topicLevelsMax: number;
  readonly #tableBytesMax: number;
  topicEpoch = 0;
  /** The names, concatenated: name `id` is `bytes[starts[id], starts[id + 1])`. */
  #bytes: Uint8Array = new Uint8Array(1024);
  #starts: Uint32Array = new Uint32Array(64);
  #hashes: Uint32Array = new Uint32Array(64);
  #texts: (string | null)[] = [null];
  /** Open addressing: ids by hash, 0 for a free slot, at most half full. */
  #slots: Uint32Array = new Uint32Array(128);
  #lastId = 0;

  /** `seed`, a u32, keeps attackers from choosing topic names whose hashes collide. */
  constructor(
    limits: Pick<Limits, "topicBytesMax" | "topicLevelsMax" | "topicTableBytesMax">,
    seed = 0,
  ) {
    this.seed = seed;
    this.#topicBytesMax = limits.topicBytesMax;
    this.#topicLevelsMax = limits.topicLevelsMax;
    this.#tableBytesMax = limits.topicTableBytesMax;
  }

  scan(chunk: Uint8Array, start: number, table: Uint32Array, frameBytesMax: number): number {
    return scanFrames(chunk, start, table, frameBytesMax, this);
  }

  intern(bytes: Uint8Array, start: number, end: number): number {
    return end > start ? Math.max(0, this.find(bytes, start, end, true)) : 0;
  }

  topicName(id: number): string {
    const known = this.#texts[id]!;
    if (known !== null) return known;
    const text = decodeUtf8(this.#bytes, this.#starts[id]!, this.#starts[id + 1]!);
    this.#texts[id] = text;
    return text;
  }

  /** The memory of the names. It is replaced when it grows: do not keep a reference. */
  get topicBytes(): Uint8Array {
    return this.#bytes;
  }
  topicStart(id: number): number {
    return this.#starts[id]!;
  }
  topicEnd(id: number): number {
    return this.#starts[id + 1]!;
  }

  find(bytes: Uint8Array, start: number, end: number, mayEmpty: boolean): number {
    const hash = hashBytes(bytes, start, end, this.seed);
    const slots = this.#slots;
    const mask = slots.length - 1;
    const length = end - start;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = slots[slot]!;
      if (id === 0) return this.#add(bytes, start, end, hash, mayEmpty);
      if (this.#hashes[id] !== hash) continue;
      const from = this.#starts[id]!;
      if (
        this.#starts[id + 1]! - from === length &&
        isSame(this.#bytes, from, bytes, start, length)
      ) {
        return id;
      }
    }
  }

  #add(bytes: Uint8Array, start: number, end: number, hash: number, mayEmpty: boolean): number {
    const fault = this.#validateName(bytes, start, end);
    if (fault !== 0) return -fault;
    const length = end - start;
    const entries = this.#lastId + 1;
    const needed = entries * ENTRY_BYTES + (this.#starts[entries]! + length) * NAME_BYTES;
    if (needed > this.#tableBytesMax && this.#lastId > 0) {
      if (!mayEmpty) return 0;
      this.#empty();
    }
    if (this.#lastId * 2 >= this.#slots.length) this.#rehash();
    const id = ++this.#lastId;
    const from = this.#starts[id]!;
    this.#bytes = grownU8(this.#bytes, from + length);
    this.#starts = grownU32(this.#starts, id + 1);
    this.#hashes = grownU32(this.#hashes, id);
    this.#bytes.set(bytes.subarray(start, end), from);
    this.#starts[id + 1] = from + length;
    this.#hashes[id] = hash;
    this.#texts.push(null);
    this.#place(id, hash);
    return id;
  }

  #validateName(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > this.#topicBytesMax) return Reason.TopicNameInvalid;
    let levels = 1;
    for (let i = start; i < end; i++) {
      const byte = bytes[i];
      if (byte === PLUS || byte === NUMBER_SIGN) return Reason.TopicNameInvalid; // [MQTT311-3.3.2-2]
      if (byte === SLASH) levels++;
    }
    if (levels > this.#topicLevelsMax) return Reason.TopicNameInvalid;
    return isUtf8(bytes, start, end) ? 0 : Reason.MalformedPacket; // [MQTT311-3.3.2-1]
  }

  #place(id: number, hash: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = id;
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let id = 1; id <= this.#lastId; id++) this.#place(id, this.#hashes[id]!);
  }

  /** Invalidates all ids. The memory is kept, because the names in use will be interned again. */
  #empty(): void {
    this.topicEpoch++;
    this.#slots.fill(0);
    this.#texts = [null];
    this.#lastId = 0;
  }
}

function isSame(
  a: Uint8Array,
  aStart: number,
  b: Uint8Array,
  bStart: number,
  length: number,
): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}

/** Cost of a name apart from its bytes: columns, slots, the objects of its text and its route. */
const ENTRY_BYTES = 192;
/** Cost of each byte of a name: once in the table, once in its text. */
const NAME_BYTES = 2;
