/**
 * The subscriptions of one session: options by filter, as in the topic index. The first one is kept
 * in two fields, because a session with one subscription is the usual one and a Map takes 200 bytes.
 */
export class Subscriptions {
  /** Null: there is no first one. */
  #filter: string | null = null;
  #options = 0;
  /** All others. */
  #more: Map<string, number> | null = null;

  get size(): number {
    return (this.#filter === null ? 0 : 1) + (this.#more?.size ?? 0);
  }

  has(filter: string): boolean {
    return this.#filter === filter || this.#more?.has(filter) === true;
  }

  /** Adds a subscription, or replaces its options. */
  set(filter: string, options: number): void {
    if (this.#filter === filter || this.size === 0) {
      this.#filter = filter;
      this.#options = options;
      return;
    }
    this.#more ??= new Map();
    this.#more.set(filter, options);
  }

  /** Removes a subscription; false if there is none. */
  delete(filter: string): boolean {
    if (this.#filter !== filter) return this.#more?.delete(filter) === true;
    this.#filter = null;
    return true;
  }

  /** Filter and options of each. */
  *[Symbol.iterator](): Generator<readonly [filter: string, options: number]> {
    if (this.#filter !== null) yield [this.#filter, this.#options];
    if (this.#more !== null) yield* this.#more;
  }
}
