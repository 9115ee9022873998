/** The memory of one instance. Only this file creates views of it, again whenever it grows. */
import type { Limits } from "../core/mod.ts";
import { ROW_WORDS } from "../core/mod.ts";
import type { WasmExports, WasmInstance } from "./load.ts";

export type CodecLimits = Pick<
  Limits,
  "topicBytesMax" | "topicLevelsMax" | "topicTableBytesMax" | "codecBytesMax"
>;

export class WasmMemory {
  readonly exports: WasmExports;
  /** Where the caller writes bytes to scan, intern, add or remove; `INPUT_BYTES` long. */
  readonly input: number;
  /** The rows of a scan, `ROWS_MAX` of them, as an index into `words`. */
  readonly table: number;
  /** [epoch, slots, slot mask] of the interning table, as an index into `words`. */
  readonly state: number;
  /** The whole memory. Do not keep a view across a call of the module. */
  bytes: Uint8Array;
  words: Uint32Array;

  /** Throws if the host lacks the initial memory. */
  constructor(instance: WasmInstance, limits: CodecLimits, seed: number) {
    const { exports } = instance;
    this.exports = exports;
    const { topicBytesMax, topicLevelsMax, topicTableBytesMax, codecBytesMax } = limits;
    const reservedBytes = Math.min(topicTableBytesMax, Math.floor(codecBytesMax / 2));
    const isReady =
      exports.initMemory(codecBytesMax, reservedBytes, INPUT_BYTES, ROWS_MAX) !== 0 &&
      exports.initTables(seed, topicBytesMax, topicLevelsMax, topicTableBytesMax) !== 0;
    if (!isReady) throw new RangeError("there is no memory for the WebAssembly codec");
    this.input = exports.inputPointer() >>> 0;
    this.table = (exports.tablePointer() >>> 0) / 4;
    this.state = (exports.statePointer() >>> 0) / 4;
    this.bytes = new Uint8Array(exports.memory.buffer);
    this.words = new Uint32Array(exports.memory.buffer);
  }

  /** To be called after each call of the module that may allocate. */
  renew(): void {
    // Growing the memory detaches its views.
    if (this.bytes.length > 0) return;
    this.bytes = new Uint8Array(this.exports.memory.buffer);
    this.words = new Uint32Array(this.exports.memory.buffer);
  }

  /** The bytes of blocks in use. */
  get usedBytes(): number {
    return this.exports.usedBytes() >>> 0;
  }
  /** The whole memory, in use or not. */
  get totalBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }
}

/** The longest topic name and its header fit, wherever in the input they begin. */
export const INPUT_BYTES = 131_072;
export const ROWS_MAX = 1024;
export const TABLE_WORDS: number = ROWS_MAX * ROW_WORDS;
