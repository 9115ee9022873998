/**
 * The queue of messages for one session, in order. Each entry has its delivery flags, its origin
 * and the journal write that it waits for; the last two take memory only where they differ.
 */
import { ObjectRing, PairRing, Ring } from "../base/ring.ts";
import type { MessageSlot } from "../message/message-pool.ts";

/**
 * The subscriptions that matched a message: those that the packet names, and a shared subscription.
 */
export interface DeliveryOrigin {
  /** The Subscription Identifier properties as encoded in a PUBLISH. */
  readonly properties: Uint8Array;
  /** The number of the shared subscription; 0: none. */
  readonly group: number;
  /** Its `$share/name/filter` in UTF-8; empty: none. */
  readonly share: Uint8Array;
}

export class DeliveryQueue {
  /** (message, delivery | packet identifier << 16) */
  readonly #entries = new PairRing();
  /** The origin of all entries while it is the same; most queues serve one subscription. */
  #origin: DeliveryOrigin | null = null;
  /** The origin of each entry, once they differ. */
  #origins: ObjectRing<DeliveryOrigin> | null = null;
  /** The low 32 bits of the write that each entry waits for; 0: none. */
  #seqs: Ring | null = null;
  /** Whether `#origins` or `#seqs` has the entries. */
  #hasColumns = false;

  get count(): number {
    return this.#entries.count;
  }
  get capacity(): number {
    return this.#entries.capacity;
  }
  /** Whether an entry may have to wait for a write. */
  get mayAwaitCommit(): boolean {
    return this.#seqs !== null;
  }
  /** Whether an entry may have an origin. */
  get hasOrigins(): boolean {
    return this.#origin !== null || this.#origins !== null;
  }

  /** Resets an empty queue: its next entries may have other origins and writes. */
  reset(): void {
    this.#origin = null;
    this.#origins = null;
    this.#seqs = null;
    this.#hasColumns = false;
  }

  push(message: MessageSlot, word: number, origin: DeliveryOrigin | null, seq: number): void {
    // Apart, so that the usual push is small enough to be inlined into the fan-out.
    if (seq !== 0 || origin !== this.#origin || this.#hasColumns) this.#pushColumns(origin, seq);
    this.#entries.push(message, word);
  }

  /** Stores what is kept for each entry, of the entry that is pushed next. */
  #pushColumns(origin: DeliveryOrigin | null, seq: number): void {
    if (origin !== this.#origin) this.#keepEachOrigin(origin);
    if (seq !== 0 && this.#seqs === null) {
      this.#seqs = new Ring();
      for (let i = this.#entries.count; i > 0; i--) this.#seqs.push(0);
    }
    if (this.#origins !== null) this.#origins.push(origin);
    if (this.#seqs !== null) this.#seqs.push(seq);
    this.#hasColumns = this.#origins !== null || this.#seqs !== null;
  }

  /** Inserts an entry before the oldest. It waits for no write. */
  unshift(message: MessageSlot, word: number, origin: DeliveryOrigin | null): void {
    if (origin !== this.#origin) this.#keepEachOrigin(origin);
    this.#entries.unshift(message, word);
    if (this.#origins !== null) this.#origins.unshift(origin);
  }

  /** Prepares for an entry whose origin differs from the common one. */
  #keepEachOrigin(origin: DeliveryOrigin | null): void {
    if (this.#origins !== null) return;
    if (this.#entries.count > 0) {
      this.#origins = new ObjectRing();
      for (let i = this.#entries.count; i > 0; i--) this.#origins.push(this.#origin);
      this.#hasColumns = true;
    }
    this.#origin = origin;
  }

  /** The message at `index` from the oldest. */
  message(index = 0): MessageSlot {
    return this.#entries.firstAt(index);
  }
  setMessage(index: number, message: MessageSlot): void {
    this.#entries.setFirstAt(index, message);
  }
  word(index = 0): number {
    return this.#entries.secondAt(index);
  }
  origin(index = 0): DeliveryOrigin | null {
    return this.#origins === null ? this.#origin : this.#origins.at(index);
  }
  /** Of the oldest entry. */
  seq(): number {
    return this.#seqs === null ? 0 : this.#seqs.peek();
  }

  /** Drops the `count` oldest entries. */
  drop(count = 1): void {
    this.#entries.drop(count);
    if (this.#origins !== null) for (let i = 0; i < count; i++) this.#origins.drop();
    if (this.#seqs !== null) for (let i = 0; i < count; i++) this.#seqs.shift();
  }
}

/**
 * Empty queues, to reuse them: a burst gets a queue that has grown already, and a session without
 * messages needs no queue.
 */
export class DeliveryQueuePool {
  readonly #spare: DeliveryQueue[] = [];

  acquire(): DeliveryQueue {
    return this.#spare.pop() ?? new DeliveryQueue();
  }

  /** Takes back an empty queue. */
  release(queue: DeliveryQueue): void {
    if (this.#spare.length === SPARE_QUEUES_MAX || queue.capacity > SPARE_ENTRIES_MAX) return;
    queue.reset();
    this.#spare.push(queue);
  }
}

/** The bytes that an entry counts in the limits, in addition to its message. */
export const ENTRY_BYTES = 16;
const SPARE_QUEUES_MAX = 256;
const SPARE_ENTRIES_MAX = 2048;
