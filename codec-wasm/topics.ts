/** TopicIndex over the module's memory. */
import type { TopicIndex } from "../core/mod.ts";
import { Added, MATCH_MORE } from "../core/mod.ts";
import type { WasmMemory } from "./memory.ts";

export class WasmTopics implements TopicIndex {
  readonly #memory: WasmMemory;
  /** Where the module writes rows, as an index of words. */
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
      // As an i32 it is below zero where there are others.
      if (page >= 0) return at / 2;
      page = exports.matchMore();
    }
  }
}

/** Words copied one by one: a view to copy from costs more than they do. */
const COPIED_WORDS_MAX = 32;
