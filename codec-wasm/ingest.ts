/**
 * Ingest over the memory of the WebAssembly module.
 *
 * A chunk is copied into the memory and scanned in one call. A short chunk does not pay for the
 * call: TypeScript scans it and looks its names up in the same table, so that both assign the same
 * ids. Only the module interns new names.
 */
import type { Ingest, NameTable } from "../core/mod.ts";
import { decodeUtf8, hashBytes, NEEDS_WINDOW, ROW_WORDS, scanFrames } from "../core/mod.ts";
import type { WasmMemory } from "./memory.ts";
import { INPUT_BYTES, ROWS_MAX } from "./memory.ts";

export class WasmIngest implements Ingest, NameTable {
  readonly name: string;
  topicEpoch = 0;
  readonly #memory: WasmMemory;
  readonly #seed: number;
  readonly #wasmBytesMin: number;
  #texts: (string | null)[] = [null];
  /**
   * The start of the slots of the interning table, as an index into `words`, and their number less
   * one.
   */
  #slots = 0;
  #mask = 0;
  #words: Uint32Array;
  #bytes: Uint8Array;

  /** Chunks shorter than `wasmBytesMin` are scanned in TypeScript. */
  constructor(name: string, memory: WasmMemory, seed: number, wasmBytesMin: number) {
    this.name = name;
    this.#memory = memory;
    this.#seed = seed;
    this.#wasmBytesMin = wasmBytesMin;
    this.#words = memory.words;
    this.#bytes = memory.bytes;
    this.#readState();
  }

  scan(chunk: Uint8Array, start: number, table: Uint32Array, frameBytesMax: number): number {
    const availableBytes = chunk.length - start;
    if (availableBytes < this.#wasmBytesMin) {
      return scanFrames(chunk, start, table, frameBytesMax, this);
    }
    const rowsMax = Math.min(ROWS_MAX, Math.floor(table.length / ROW_WORDS));
    const rows = this.#scan(
      chunk,
      start,
      Math.min(availableBytes, rowsMax * WINDOW_BYTES_PER_ROW),
      rowsMax,
      frameBytesMax,
    );
    if (rows > 0) {
      const from = this.#memory.table;
      table.set(this.#memory.words.subarray(from, from + rows * ROW_WORDS));
    }
    return rows;
  }

  intern(bytes: Uint8Array, start: number, end: number): number {
    return end > start && end - start <= INPUT_BYTES
      ? Math.max(0, this.find(bytes, start, end, true))
      : 0;
  }

  topicName(id: number): string {
    while (this.#texts.length <= id) this.#texts.push(null);
    const known = this.#texts[id]!;
    if (known !== null) return known;
    const { exports, bytes } = this.#memory;
    const start = exports.namePointer(id) >>> 0;
    const text = decodeUtf8(bytes, start, start + exports.nameLength(id));
    this.#texts[id] = text;
    return text;
  }

  find(bytes: Uint8Array, start: number, end: number, mayEmpty: boolean): number {
    const hash = hashBytes(bytes, start, end, this.#seed);
    // A call that makes the memory grow detaches the views. Then they have no elements.
    if (this.#words.length === 0) this.#readState();
    const words = this.#words;
    const mask = this.#mask;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = this.#slots + slot * 2;
      const entry = words[at + 1]!;
      if (entry === 0) return this.#intern(bytes, start, end, mayEmpty);
      if (words[at] !== hash || words[(entry >>> 2) + 1] !== end - start) continue;
      if (this.#isName(entry + 8, bytes, start, end)) return words[entry >>> 2]!;
    }
  }

  /** Whether the name at `from`, which is aligned to words, is `bytes[start, end)`. */
  #isName(from: number, bytes: Uint8Array, start: number, end: number): boolean {
    const words = this.#words;
    let at = start;
    for (let word = from >>> 2; at + 4 <= end; at += 4) {
      const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
      if (((low | (bytes[at + 3]! << 24)) ^ words[word++]!) !== 0) return false;
    }
    const names = this.#bytes;
    for (from += at - start; at < end; ) if (names[from++] !== bytes[at++]) return false;
    return true;
  }

  #intern(bytes: Uint8Array, start: number, end: number, mayEmpty: boolean): number {
    const memory = this.#memory;
    memory.bytes.set(bytes.subarray(start, end), memory.input);
    const id = memory.exports.intern(end - start, mayEmpty ? 1 : 0);
    this.#readState();
    return id;
  }

  #scan(
    chunk: Uint8Array,
    start: number,
    windowBytes: number,
    rowsMax: number,
    frameBytesMax: number,
  ): number {
    const { exports, bytes, input } = this.#memory;
    const availableBytes = chunk.length - start;
    bytes.set(chunk.subarray(start, start + windowBytes), input);
    const rows = exports.scan(windowBytes, availableBytes, rowsMax, frameBytesMax, start);
    this.#readState();
    if (rows !== NEEDS_WINDOW) return rows;
    return this.#scan(chunk, start, Math.min(availableBytes, INPUT_BYTES), rowsMax, frameBytesMax);
  }

  /** Reads where the table is. To be called after each call that may change it. */
  #readState(): void {
    this.#memory.renew();
    const { words, bytes, state } = this.#memory;
    this.#words = words;
    this.#bytes = bytes;
    this.#slots = words[state + 1]! >>> 2;
    this.#mask = words[state + 2]!;
    if (words[state] === this.topicEpoch) return;
    this.topicEpoch = words[state]!;
    this.#texts = [null];
  }
}

/** Bytes copied at first for each row: about as much as fills the rows of one call. */
const WINDOW_BYTES_PER_ROW = 32;
