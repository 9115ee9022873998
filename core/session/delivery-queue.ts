/**
 * Messages owed to one session, in order: each with its delivery, what it came by, and the write that it
 * waits for. The last two are kept only as far as they differ.
 */
import { ObjectRing, PairRing, Ring } from "../base/ring.ts";
import type { MessageSlot } from "../message/message-pool.ts";

/** The subscriptions that a message came by, as far as its receiver is told or it matters later. */
export interface Via {
  /** The Subscription Identifier properties as they stand in a PUBLISH. */
  readonly properties: Uint8Array;
  /** Number of the shared subscription; 0 is none. */
  readonly group: number;
}

export class DeliveryQueue {
  /** (message, delivery | packet identifier << 16) */
  readonly #entries = new PairRing();
  /** What all of them came by, while that is the same; most queues are of one subscription. */
  #via: Via | null = null;
  /** What each came by, from when it differed. */
  #vias: ObjectRing<Via> | null = null;
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
  get hasVias(): boolean {
    return this.#via !== null || this.#vias !== null;
  }

  /** It is empty: what it keeps next may be of another kind. */
  reset(): void {
    this.#via = null;
    this.#vias = null;
    this.#seqs = null;
  }

  push(message: MessageSlot, word: number, via: Via | null, seq: number): void {
    if (via !== this.#via) this.#differ(via);
    if (seq !== 0 && this.#seqs === null) {
      this.#seqs = new Ring();
      for (let i = this.#entries.count; i > 0; i--) this.#seqs.push(0);
    }
    this.#entries.push(message, word);
    if (this.#vias !== null) this.#vias.push(via);
    if (this.#seqs !== null) this.#seqs.push(seq);
  }

  /** Puts an entry, which waits for nothing, before the oldest. */
  unshift(message: MessageSlot, word: number, via: Via | null): void {
    if (via !== this.#via) this.#differ(via);
    this.#entries.unshift(message, word);
    if (this.#vias !== null) this.#vias.unshift(via);
  }

  /** An entry comes by something else than those that are there, if any. */
  #differ(via: Via | null): void {
    if (this.#vias !== null) return;
    if (this.#entries.count > 0) {
      this.#vias = new ObjectRing();
      for (let i = this.#entries.count; i > 0; i--) this.#vias.push(this.#via);
    }
    this.#via = via;
  }

  /** The message at `index` from the oldest. */
  message(index = 0): MessageSlot {
    return this.#entries.firstAt(index);
  }
  word(index = 0): number {
    return this.#entries.secondAt(index);
  }
  via(index = 0): Via | null {
    return this.#vias === null ? this.#via : this.#vias.at(index);
  }
  /** Of the oldest. */
  seq(): number {
    return this.#seqs === null ? 0 : this.#seqs.peek();
  }

  /** Drops the oldest, or the `count` oldest. */
  drop(count = 1): void {
    this.#entries.drop(count);
    if (this.#vias !== null) for (let i = 0; i < count; i++) this.#vias.drop();
    if (this.#seqs !== null) for (let i = 0; i < count; i++) this.#seqs.shift();
  }
}

/**
 * Queues that have emptied, for the next session that is owed something: a burst finds one that has grown,
 * and a session that is owed nothing has none.
 */
export class DeliveryQueuePool {
  readonly #spare: DeliveryQueue[] = [];

  take(): DeliveryQueue {
    return this.#spare.pop() ?? new DeliveryQueue();
  }

  /** Takes back a queue that is empty. */
  give(queue: DeliveryQueue): void {
    if (this.#spare.length === SPARE_QUEUES_MAX || queue.capacity > SPARE_ENTRIES_MAX) return;
    queue.reset();
    this.#spare.push(queue);
  }
}

const SPARE_QUEUES_MAX = 256;
const SPARE_ENTRIES_MAX = 2048;
