/** The memory of one instance, as views that are made anew when it has grown: here and nowhere else. */
import type { Limits } from "../core/mod.ts";
import { ROW_WORDS } from "../core/mod.ts";
import type { WasmExports, WasmInstance } from "./load.ts";

export type CodecLimits = Pick<
  Limits,
  "topicBytesMax" | "topicLevelsMax" | "topicTableBytesMax" | "codecBytesMax"
>;

export class WasmMemory {
  readonly exports: WasmExports;
  /** Where what is scanned, interned, added or removed is written: `INPUT_BYTES` of them. */
  readonly input: number;
  /** Where the rows of a scan lie, as an index into `words`: `ROWS_MAX` of them. */
  readonly table: number;
  /** Index into `words` of [epoch, slots, slot mask] of the interning table. */
  readonly state: number;
  /** All of the memory. Not to be kept over a call of the module. */
  bytes: Uint8Array;
  words: Uint32Array;

  /** Throws where the host has not the memory to begin with. */
  constructor(instance: WasmInstance, limits: CodecLimits, seed: number) {
    const { exports } = instance;
    this.exports = exports;
    const { topicBytesMax, topicLevelsMax, topicTableBytesMax, codecBytesMax } = limits;
    const isReady = exports.init(
      seed,
      codecBytesMax,
      INPUT_BYTES,
      ROWS_MAX,
      topicBytesMax,
      topicLevelsMax,
      topicTableBytesMax,
    );
    if (isReady === 0) throw new RangeError("there is no memory for the WebAssembly codec");
    this.input = exports.inputPointer() >>> 0;
    this.table = (exports.tablePointer() >>> 0) / 4;
    this.state = (exports.statePointer() >>> 0) / 4;
    this.bytes = new Uint8Array(exports.memory.buffer);
    this.words = new Uint32Array(exports.memory.buffer);
  }

  /** To be called after each call of the module that may allocate. */
  renew(): void {
    // A view of memory that has grown is empty.
    if (this.bytes.length > 0) return;
    this.bytes = new Uint8Array(this.exports.memory.buffer);
    this.words = new Uint32Array(this.exports.memory.buffer);
  }

  /** Memory in blocks that are in use, and all that was taken from the host. */
  get usedBytes(): number {
    return this.exports.usedBytes() >>> 0;
  }
  get heldBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }
}

/** Room for what a scan looks at: the longest name fits, with its header, wherever it begins. */
export const INPUT_BYTES = 131_072;
export const ROWS_MAX = 1024;
export const TABLE_WORDS: number = ROWS_MAX * ROW_WORDS;
