/** First in, first out, in constant time however many wait: to shift an array can move all that is behind. */
export class Fifo<T> {
  #entries: (T | null)[] = [];
  /** Where the oldest stands; those before it are gone. */
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  push(entry: T): void {
    this.#entries.push(entry);
  }

  /** The oldest, taken out; null where there is none. */
  shift(): T | null {
    if (this.length === 0) return null;
    const entry = this.#entries[this.#head]!;
    this.#entries[this.#head++] = null;
    // Once as many are gone as wait: each is moved once at most, on average.
    if (this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  /** All of them, oldest first, taken out. */
  drain(): T[] {
    const entries = this.#entries.slice(this.#head) as T[];
    this.#entries = [];
    this.#head = 0;
    return entries;
  }
}
