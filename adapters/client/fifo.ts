/** A queue in constant time per entry at any length. `Array.shift` can move all entries behind the first. */
export class Fifo<T> {
  #entries: (T | null)[] = [];
  /** The index of the oldest entry. */
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  push(entry: T): void {
    this.#entries.push(entry);
  }

  /** Removes and returns the oldest entry; null: the queue is empty. */
  shift(): T | null {
    if (this.length === 0) return null;
    const entry = this.#entries[this.#head]!;
    this.#entries[this.#head++] = null;
    // When half of the array is free, so each entry is moved at most once on average.
    if (this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  /** Removes and returns all entries, oldest first. */
  drain(): T[] {
    const entries = this.#entries.slice(this.#head) as T[];
    this.#entries = [];
    this.#head = 0;
    return entries;
  }
}
