/**
 * First-in-first-out rings that grow as needed: with entries of one u32 word, of two, and of
 * objects.
 *
 * The caller bounds the number of entries. A ring never shrinks; its owner drops a ring that grew
 * large and is empty again.
 */
import { assert } from "./assert.ts";

/** Entries of one word. */
export class Ring {
  #words: Uint32Array;
  #head = 0;
  /** The number of entries. */
  count = 0;

  /** `capacity` is a power of two. */
  constructor(capacity = 8) {
    this.#words = new Uint32Array(capacity);
  }

  get capacity(): number {
    return this.#words.length;
  }

  push(word: number): void {
    if (this.count === this.#words.length) this.#grow();
    this.#words[(this.#head + this.count) & (this.#words.length - 1)] = word;
    this.count++;
  }

  /** The oldest entry. It stays in the ring. */
  peek(): number {
    return this.#words[this.#head]!;
  }

  shift(): number {
    assert(this.count > 0, "an entry is shifted only from a ring that has entries");
    const word = this.#words[this.#head]!;
    this.#head = (this.#head + 1) & (this.#words.length - 1);
    this.count--;
    return word;
  }

  #grow(): void {
    this.#words = unrolled(this.#words, this.#head);
    this.#head = 0;
  }
}

/** Entries of two words. */
export class PairRing {
  #words: Uint32Array;
  #head = 0;
  count = 0;

  /** `capacity` is a power of two. */
  constructor(capacity = 8) {
    this.#words = new Uint32Array(capacity * 2);
  }

  get capacity(): number {
    return this.#words.length >> 1;
  }

  push(first: number, second: number): void {
    const words = this.#words;
    if (this.count * 2 === words.length) {
      this.#grow();
      this.push(first, second);
      return;
    }
    const at = (this.#head + this.count * 2) & (words.length - 1);
    words[at] = first;
    words[at + 1] = second;
    this.count++;
  }

  /** Inserts an entry before the oldest. */
  unshift(first: number, second: number): void {
    if (this.count * 2 === this.#words.length) this.#grow();
    this.#head = (this.#head - 2) & (this.#words.length - 1);
    this.#words[this.#head] = first;
    this.#words[this.#head + 1] = second;
    this.count++;
  }

  /** The first word of the oldest entry. */
  first(): number {
    return this.#words[this.#head]!;
  }

  /** The second word of the oldest entry. */
  second(): number {
    return this.#words[this.#head + 1]!;
  }

  /** The first word of the entry at `index` from the oldest. */
  firstAt(index: number): number {
    return this.#words[(this.#head + index * 2) & (this.#words.length - 1)]!;
  }

  /** The second word of the entry at `index` from the oldest. */
  secondAt(index: number): number {
    return this.#words[(this.#head + index * 2 + 1) & (this.#words.length - 1)]!;
  }

  /** Replaces the first word of the entry at `index` from the oldest. */
  setFirstAt(index: number, first: number): void {
    this.#words[(this.#head + index * 2) & (this.#words.length - 1)] = first;
  }

  /** Drops the oldest entry, or the `count` oldest. */
  drop(count = 1): void {
    assert(this.count >= count, "entries are dropped only from a ring that has them");
    this.#head = (this.#head + count * 2) & (this.#words.length - 1);
    this.count -= count;
  }

  #grow(): void {
    this.#words = unrolled(this.#words, this.#head);
    this.#head = 0;
  }
}

/** Entries are objects or null. */
export class ObjectRing<T> {
  #entries: (T | null)[];
  #head = 0;
  count = 0;

  /** `capacity` is a power of two. */
  constructor(capacity = 8) {
    this.#entries = new Array<T | null>(capacity).fill(null);
  }

  push(entry: T | null): void {
    if (this.count === this.#entries.length) this.#grow();
    this.#entries[(this.#head + this.count) & (this.#entries.length - 1)] = entry;
    this.count++;
  }

  unshift(entry: T | null): void {
    if (this.count === this.#entries.length) this.#grow();
    this.#head = (this.#head - 1) & (this.#entries.length - 1);
    this.#entries[this.#head] = entry;
    this.count++;
  }

  /** The entry at `index` from the oldest. */
  at(index: number): T | null {
    return this.#entries[(this.#head + index) & (this.#entries.length - 1)]!;
  }

  drop(): void {
    assert(this.count > 0, "entries are dropped only from a ring that has them");
    this.#entries[this.#head] = null;
    this.#head = (this.#head + 1) & (this.#entries.length - 1);
    this.count--;
  }

  #grow(): void {
    const before = this.#entries;
    this.#entries = new Array<T | null>(before.length * 2).fill(null);
    for (let i = 0; i < this.count; i++) {
      this.#entries[i] = before[(this.#head + i) & (before.length - 1)]!;
    }
    this.#head = 0;
  }
}

/** Copies the words of a full ring, in order, to an array of twice the length. */
function unrolled(words: Uint32Array, head: number): Uint32Array {
  const larger = new Uint32Array(words.length * 2);
  larger.set(words.subarray(head));
  larger.set(words.subarray(0, head), words.length - head);
  return larger;
}
