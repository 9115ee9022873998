/** TopicIndex over the memory of the WebAssembly module. */
import type { TopicIndex } from "../core/mod.ts";
import { Added, MATCH_MORE } from "../core/mod.ts";
import type { WasmMemory } from "./memory.ts";

export class WasmTopics implements TopicIndex {
  readonly #memory: WasmMemory;
  /** The rows that the module writes, as an index into `words`. */
  readonly #out: number;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    this.#out = (memory.exports.outPointer() >>> 0) / 4;
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
    const { exports, words } = this.#memory;
    const from = this.#out;
    let at = 0;
    let page = exports.match(topic);
    for (;;) {
      const length = (page & ~MATCH_MORE) * 2;
      const fitting = Math.min(length, Math.max(0, out.length - at));
      if (fitting > COPIED_WORDS_MAX) out.set(words.subarray(from, from + fitting), at);
      else for (let i = 0; i < fitting; i++) out[at + i] = words[from + i]!;
      at += length;
      // MATCH_MORE is the sign bit: the i32 is negative if there are more rows.
      if (page >= 0) return at / 2;
      page = exports.matchMore();
    }
  }
}

/** Up to this many words are copied one by one: creating a view to copy from costs more. */
const COPIED_WORDS_MAX = 32;
