/**
 * Allocates small integers: the most recently freed one first, otherwise the lowest that was never
 * used.
 */
import { assert } from "./assert.ts";

export class Slots {
  readonly #max: number;
  #free = new Uint32Array(16);
  #freeCount = 0;
  #top = 1;

  /** Slots are 1 … `max`; 0 is none. */
  constructor(max: number) {
    this.#max = max;
  }

  /** The number of slots in use. */
  get count(): number {
    return this.#top - 1 - this.#freeCount;
  }

  /** Returns a free slot, or 0 if all are in use. */
  acquire(): number {
    if (this.#freeCount > 0) return this.#free[--this.#freeCount]!;
    return this.#top > this.#max ? 0 : this.#top++;
  }

  release(slot: number): void {
    assert(slot > 0 && slot < this.#top, "a released slot was in use");
    if (this.#freeCount === this.#free.length) {
      const larger = new Uint32Array(this.#free.length * 2);
      larger.set(this.#free);
      this.#free = larger;
    }
    this.#free[this.#freeCount++] = slot;
  }
}
