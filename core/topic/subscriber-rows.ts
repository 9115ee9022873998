/**
 * Rows of (subscriber, options). The rows of a trie node form a list; a hash table finds a row by
 * node and subscriber.
 */
import { grownU32 } from "../base/columns.ts";
import { Slots } from "../base/slots.ts";

export class SubscriberRows {
  readonly #slots = new Slots(2 ** 30);
  #nodes: Uint32Array = new Uint32Array(16);
  #subscribers: Uint32Array = new Uint32Array(16);
  #options: Uint32Array = new Uint32Array(16);
  /** Neighbours in the list of the node; 0 at its ends. */
  #next: Uint32Array = new Uint32Array(16);
  #previous: Uint32Array = new Uint32Array(16);
  /** Next row in the same bucket. */
  #chains: Uint32Array = new Uint32Array(16);
  #buckets: Uint32Array = new Uint32Array(64);

  get count(): number {
    return this.#slots.count;
  }

  /** The row of a subscriber at a node, or 0. */
  find(node: number, subscriber: number): number {
    let row = this.#buckets[this.#bucket(node, subscriber)]!;
    while (row !== 0 && (this.#nodes[row] !== node || this.#subscribers[row] !== subscriber)) {
      row = this.#chains[row]!;
    }
    return row;
  }

  setOptions(row: number, options: number): void {
    this.#options[row] = options;
  }

  /** Adds a row in front of `first`, the head of its node's list; returns the row, the new head. */
  add(node: number, subscriber: number, options: number, first: number): number {
    const row = this.#slots.acquire();
    this.#grow(row);
    if (this.#slots.count > this.#buckets.length) this.#rehash();
    this.#nodes[row] = node;
    this.#subscribers[row] = subscriber;
    this.#options[row] = options;
    this.#next[row] = first;
    this.#previous[row] = 0;
    if (first !== 0) this.#previous[first] = row;
    this.#chain(row);
    return row;
  }

  /** Removes a row from the list whose head is `first`; returns the new head, or 0. */
  remove(row: number, first: number): number {
    const next = this.#next[row]!;
    const previous = this.#previous[row]!;
    if (next !== 0) this.#previous[next] = previous;
    if (previous !== 0) this.#next[previous] = next;
    this.#unchain(row);
    this.#slots.release(row);
    return row === first ? next : first;
  }

  /**
   * Writes the list that begins with `row` to `out`, from row `count` on, while there is room.
   * Returns `count` plus the length of the list, written or not.
   */
  emit(row: number, out: Uint32Array, count: number): number {
    for (; row !== 0; row = this.#next[row]!) {
      const at = count * 2;
      if (at + 1 < out.length) {
        out[at] = this.#subscribers[row]!;
        out[at + 1] = this.#options[row]!;
      }
      count++;
    }
    return count;
  }

  #bucket(node: number, subscriber: number): number {
    const hash = Math.imul(node, 0x9e3779b1) ^ Math.imul(subscriber, 0x85ebca6b);
    return (hash ^ (hash >>> 15)) & (this.#buckets.length - 1);
  }

  #chain(row: number): void {
    const bucket = this.#bucket(this.#nodes[row]!, this.#subscribers[row]!);
    this.#chains[row] = this.#buckets[bucket]!;
    this.#buckets[bucket] = row;
  }

  #unchain(row: number): void {
    const bucket = this.#bucket(this.#nodes[row]!, this.#subscribers[row]!);
    const next = this.#chains[row]!;
    if (this.#buckets[bucket] === row) {
      this.#buckets[bucket] = next;
      return;
    }
    let before = this.#buckets[bucket]!;
    while (this.#chains[before] !== row) before = this.#chains[before]!;
    this.#chains[before] = next;
  }

  #rehash(): void {
    const old = this.#buckets;
    this.#buckets = new Uint32Array(old.length * 4);
    for (let row of old) {
      while (row !== 0) {
        const next = this.#chains[row]!;
        this.#chain(row);
        row = next;
      }
    }
  }

  #grow(row: number): void {
    if (row < this.#nodes.length) return;
    this.#nodes = grownU32(this.#nodes, row);
    this.#subscribers = grownU32(this.#subscribers, row);
    this.#options = grownU32(this.#options, row);
    this.#next = grownU32(this.#next, row);
    this.#previous = grownU32(this.#previous, row);
    this.#chains = grownU32(this.#chains, row);
  }
}
