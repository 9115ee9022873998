/** TopicIndex over the module's memory. */
import type { TopicIndex } from "../core/mod.ts";
import { Added } from "../core/mod.ts";
import type { WasmMemory } from "./memory.ts";

export class WasmTopics implements TopicIndex {
  readonly #memory: WasmMemory;
  /** Rows that the module writes in one call. */
  #rowsMax = 256;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  get size(): number {
    return this.#memory.exports.topicsSize() >>> 0;
  }

  add(filter: Uint8Array, subscriber: number, options: number): Added {
    const memory = this.#memory;
    memory.bytes.set(filter, memory.input);
    const added = memory.exports.add(filter.length, subscriber, options);
    memory.renew();
    return added === Added.New || added === Added.Replaced ? added : Added.NoMemory;
  }

  remove(filter: Uint8Array, subscriber: number): boolean {
    const { exports, bytes, input } = this.#memory;
    bytes.set(filter, input);
    return exports.remove(filter.length, subscriber) !== 0;
  }

  match(topic: number, out: Uint32Array): number {
    const { exports } = this.#memory;
    let count = exports.match(topic, 0) >>> 0;
    if (count > this.#rowsMax && exports.reserveOut(count) !== 0) {
      this.#memory.renew();
      this.#rowsMax = count;
      count = exports.match(topic, 0) >>> 0;
    }
    const wanted = Math.min(count, out.length >>> 1);
    for (let skip = 0; skip < wanted; skip += this.#rowsMax) {
      // Only where there was no memory for all of them at once is there a second page.
      if (skip > 0) exports.match(topic, skip);
      const rows = Math.min(wanted - skip, this.#rowsMax);
      const from = (exports.outPointer() >>> 0) / 4;
      const { words } = this.#memory;
      if (rows > COPIED_ROWS_MAX) out.set(words.subarray(from, from + rows * 2), skip * 2);
      else for (let i = 0; i < rows * 2; i++) out[skip * 2 + i] = words[from + i]!;
    }
    return count;
  }
}

/** Rows copied one by one: a view to copy from costs more than they do. */
const COPIED_ROWS_MAX = 16;
