/**
 * Messages owed to one session, in order: each with its delivery, what it came by, and the write that it
 * waits for. The last two are kept only as far as they differ.
 */
import { ObjectRing, PairRing, Ring } from "../base/ring.ts";
import type { MessageSlot } from "../message/message-pool.ts";

/** The subscriptions that a message came by, as far as its receiver is told or it matters later. */
export interface DeliveryOrigin {
  /** The Subscription Identifier properties as they stand in a PUBLISH. */
  readonly properties: Uint8Array;
  /** Number of the shared subscription; 0 is none. */
  readonly group: number;
}

export class DeliveryQueue {
  /** (message, delivery | packet identifier << 16) */
  readonly #entries = new PairRing();
  /** What all of them came by, while that is the same; most queues are of one subscription. */
  #origin: DeliveryOrigin | null = null;
  /** What each came by, from when it differed. */
  #origins: ObjectRing<DeliveryOrigin> | null = null;
  /** The low 32 bits of the write, 0 for none. */
  #seqs: Ring | null = null;

  get count(): number {
    return this.#entries.count;
  }
  get capacity(): number {
    return this.#entries.capacity;
  }
  /** Whether any entry may wait for a write. */
  get mayWait(): boolean {
    return this.#seqs !== null;
  }
  /** Whether any entry may have come by something. */
  get hasOrigins(): boolean {
    return this.#origin !== null || this.#origins !== null;
  }

  /** It is empty: what it keeps next may be of another kind. */
  reset(): void {
    this.#origin = null;
    this.#origins = null;
    this.#seqs = null;
  }

  push(message: MessageSlot, word: number, origin: DeliveryOrigin | null, seq: number): void {
    if (origin !== this.#origin) this.#keepEachOrigin(origin);
    if (seq !== 0 && this.#seqs === null) {
      this.#seqs = new Ring();
      for (let i = this.#entries.count; i > 0; i--) this.#seqs.push(0);
    }
    this.#entries.push(message, word);
    if (this.#origins !== null) this.#origins.push(origin);
    if (this.#seqs !== null) this.#seqs.push(seq);
  }

  /** Puts an entry, which waits for nothing, before the oldest. */
  unshift(message: MessageSlot, word: number, origin: DeliveryOrigin | null): void {
    if (origin !== this.#origin) this.#keepEachOrigin(origin);
    this.#entries.unshift(message, word);
    if (this.#origins !== null) this.#origins.unshift(origin);
  }

  /** An entry comes by something else than those that are there, if any. */
  #keepEachOrigin(origin: DeliveryOrigin | null): void {
    if (this.#origins !== null) return;
    if (this.#entries.count > 0) {
      this.#origins = new ObjectRing();
      for (let i = this.#entries.count; i > 0; i--) this.#origins.push(this.#origin);
    }
    this.#origin = origin;
  }

  /** The message at `index` from the oldest. */
  message(index = 0): MessageSlot {
    return this.#entries.firstAt(index);
  }
  word(index = 0): number {
    return this.#entries.secondAt(index);
  }
  origin(index = 0): DeliveryOrigin | null {
    return this.#origins === null ? this.#origin : this.#origins.at(index);
  }
  /** Of the oldest. */
  seq(): number {
    return this.#seqs === null ? 0 : this.#seqs.peek();
  }

  /** Drops the oldest, or the `count` oldest. */
  drop(count = 1): void {
    this.#entries.drop(count);
    if (this.#origins !== null) for (let i = 0; i < count; i++) this.#origins.drop();
    if (this.#seqs !== null) for (let i = 0; i < count; i++) this.#seqs.shift();
  }
}

/**
 * Queues that have emptied, for the next session that is owed something: a burst finds one that has grown,
 * and a session that is owed nothing has none.
 */
export class DeliveryQueuePool {
  readonly #spare: DeliveryQueue[] = [];

  acquire(): DeliveryQueue {
    return this.#spare.pop() ?? new DeliveryQueue();
  }

  /** Takes back a queue that is empty. */
  release(queue: DeliveryQueue): void {
    if (this.#spare.length === SPARE_QUEUES_MAX || queue.capacity > SPARE_ENTRIES_MAX) return;
    queue.reset();
    this.#spare.push(queue);
  }
}

const SPARE_QUEUES_MAX = 256;
const SPARE_ENTRIES_MAX = 2048;
