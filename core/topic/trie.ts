/**
 * The reference TopicIndex: a trie of filter levels in columns of integers.
 *
 * A node is one level of a filter under its parent. A hash table finds the child for a level; `+`
 * and `#` have columns of their own. The subscribers of a filter form a list at its last node and
 * are found by hash too, so that a change costs the same however many subscribers a filter has.
 */

import { BlockPool } from "../base/blocks.ts";
import { DOLLAR, NUMBER_SIGN, PLUS, SLASH } from "../base/characters.ts";
import { grownU32 } from "../base/columns.ts";
import { hashBytes } from "../base/hash.ts";
import { Slots } from "../base/slots.ts";
import type { ReferenceIngest } from "../codec/ingest.ts";
import type { TopicIndex, TopicIndexFactory } from "../ports.ts";
import { Added } from "../ports.ts";
import { SubscriberRows } from "./subscriber-rows.ts";

/** A factory of topic indices that match the topics interned by `ingest`. */
export function referenceTopics(ingest: ReferenceIngest): TopicIndexFactory {
  return { create: () => new TopicTrie(ingest) };
}

export class TopicTrie implements TopicIndex {
  readonly #ingest: ReferenceIngest;
  readonly #rows = new SubscriberRows();
  readonly #slots = new Slots(2 ** 30);
  readonly #levels = new BlockPool(Number.MAX_SAFE_INTEGER);
  /** First row in the list of subscribers whose filter ends at a node; 0 for none. */
  #firstRows: Uint32Array = new Uint32Array(16);
  #parents: Uint32Array = new Uint32Array(16);
  #hashes: Uint32Array = new Uint32Array(16);
  /** The block that holds the bytes of the level, and their number. */
  #levelBlocks: Uint32Array = new Uint32Array(16);
  #levelBytes: Uint32Array = new Uint32Array(16);
  #singleLevelChildren: Uint32Array = new Uint32Array(16);
  #multiLevelChildren: Uint32Array = new Uint32Array(16);
  #childCounts: Uint32Array = new Uint32Array(16);
  /** Next node in the same bucket. */
  #chains: Uint32Array = new Uint32Array(16);
  #buckets: Uint32Array = new Uint32Array(64);
  readonly #root: number;
  /** Nodes that `match` still has to visit: (node, depth). */
  #stack: Uint32Array = new Uint32Array(64);
  /** Levels of the topic that is being matched: (start, end, hash). */
  #topicLevels: Uint32Array = new Uint32Array(48);

  constructor(ingest: ReferenceIngest) {
    this.#ingest = ingest;
    this.#root = this.#slots.acquire();
  }

  get size(): number {
    return this.#rows.count;
  }

  add(filter: Uint8Array, subscriber: number, options: number): Added {
    let node = this.#root;
    for (let start = 0; start <= filter.length; ) {
      const end = levelEnd(filter, start, filter.length);
      node = this.#child(node, filter, start, end) || this.#addChild(node, filter, start, end);
      start = end + 1;
    }
    const row = this.#rows.find(node, subscriber);
    if (row !== 0) {
      this.#rows.setOptions(row, options);
      return Added.Replaced;
    }
    this.#firstRows[node] = this.#rows.add(node, subscriber, options, this.#firstRows[node]!);
    return Added.New;
  }

  remove(filter: Uint8Array, subscriber: number): boolean {
    let node = this.#root;
    for (let start = 0; start <= filter.length && node !== 0; ) {
      const end = levelEnd(filter, start, filter.length);
      node = this.#child(node, filter, start, end);
      start = end + 1;
    }
    const row = node === 0 ? 0 : this.#rows.find(node, subscriber);
    if (row === 0) return false;
    this.#firstRows[node] = this.#rows.remove(row, this.#firstRows[node]!);
    this.#prune(node);
    return true;
  }

  match(topic: number, out: Uint32Array): number {
    const { topicBytes } = this.#ingest;
    const start = this.#ingest.topicStart(topic);
    const depthMax = this.#splitTopic(topicBytes, start, this.#ingest.topicEnd(topic));
    // A leading wildcard does not match a topic that begins with `$` [MQTT311-4.7.2-1].
    const wildcardDepthMin = topicBytes[start] === DOLLAR ? 1 : 0;
    let count = 0;
    let top = 0;
    this.#stack[top++] = this.#root;
    this.#stack[top++] = 0;
    while (top > 0) {
      const depth = this.#stack[--top]!;
      const node = this.#stack[--top]!;
      const mayWildcard = depth >= wildcardDepthMin;
      // `#` matches its parent level and everything below it, MQTT 3.1.1 §4.7.1.2.
      const rest = this.#multiLevelChildren[node]!;
      if (rest !== 0 && mayWildcard) count = this.#rows.emit(this.#firstRows[rest]!, out, count);
      if (depth === depthMax) {
        count = this.#rows.emit(this.#firstRows[node]!, out, count);
        continue;
      }
      if (top + 4 > this.#stack.length) this.#stack = grownU32(this.#stack, top + 4);
      const any = this.#singleLevelChildren[node]!;
      if (any !== 0 && mayWildcard) {
        this.#stack[top++] = any;
        this.#stack[top++] = depth + 1;
      }
      const levels = this.#topicLevels;
      const at = depth * 3;
      const same = this.#find(node, topicBytes, levels[at]!, levels[at + 1]!, levels[at + 2]!);
      if (same !== 0) {
        this.#stack[top++] = same;
        this.#stack[top++] = depth + 1;
      }
    }
    return count;
  }

  /** Splits a topic name into `topicLevels`; returns the number of levels. */
  #splitTopic(bytes: Uint8Array, from: number, to: number): number {
    let depth = 0;
    for (let start = from; start <= to; depth++) {
      const end = levelEnd(bytes, start, to);
      const at = depth * 3;
      if (at + 3 > this.#topicLevels.length)
        this.#topicLevels = grownU32(this.#topicLevels, at + 3);
      this.#topicLevels[at] = start;
      this.#topicLevels[at + 1] = end;
      this.#topicLevels[at + 2] = hashBytes(bytes, start, end, this.#ingest.seed);
      start = end + 1;
    }
    return depth;
  }

  /** The child of `node` for a level of a filter, or 0. */
  #child(node: number, bytes: Uint8Array, start: number, end: number): number {
    if (end - start === 1) {
      if (bytes[start] === PLUS) return this.#singleLevelChildren[node]!;
      if (bytes[start] === NUMBER_SIGN) return this.#multiLevelChildren[node]!;
    }
    return this.#find(node, bytes, start, end, hashBytes(bytes, start, end, this.#ingest.seed));
  }

  #find(parent: number, bytes: Uint8Array, start: number, end: number, hash: number): number {
    let node = this.#buckets[this.#bucket(parent, hash)]!;
    for (; node !== 0; node = this.#chains[node]!) {
      const isCandidate = this.#parents[node] === parent && this.#hashes[node] === hash;
      if (isCandidate && this.#isLevel(node, bytes, start, end)) return node;
    }
    return 0;
  }

  #isLevel(node: number, bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (this.#levelBytes[node] !== length) return false;
    if (length === 0) return true;
    const block = this.#levelBlocks[node]!;
    const level = this.#levels.bytes(block);
    const from = this.#levels.offset(block);
    for (let i = 0; i < length; i++) if (level[from + i] !== bytes[start + i]) return false;
    return true;
  }

  #addChild(parent: number, bytes: Uint8Array, start: number, end: number): number {
    const node = this.#slots.acquire();
    this.#grow(node);
    this.#parents[node] = parent;
    this.#firstRows[node] = 0;
    this.#singleLevelChildren[node] = 0;
    this.#multiLevelChildren[node] = 0;
    this.#childCounts[node] = 0;
    this.#levelBytes[node] = end - start;
    this.#levelBlocks[node] = 0;
    this.#childCounts[parent]!++;
    const only = end - start === 1 ? bytes[start] : 0;
    if (only === PLUS) {
      this.#singleLevelChildren[parent] = node;
    } else if (only === NUMBER_SIGN) {
      this.#multiLevelChildren[parent] = node;
    } else {
      if (end > start) {
        const block = this.#levels.allocate(end - start);
        this.#levels.bytes(block).set(bytes.subarray(start, end), this.#levels.offset(block));
        this.#levelBlocks[node] = block;
      }
      this.#hashes[node] = hashBytes(bytes, start, end, this.#ingest.seed);
      this.#chain(node);
    }
    return node;
  }

  /** Releases a node without subscribers and children, and each parent that this leaves empty. */
  #prune(node: number): void {
    while (node !== this.#root && this.#firstRows[node] === 0 && this.#childCounts[node] === 0) {
      const parent = this.#parents[node]!;
      if (this.#singleLevelChildren[parent] === node) this.#singleLevelChildren[parent] = 0;
      else if (this.#multiLevelChildren[parent] === node) this.#multiLevelChildren[parent] = 0;
      else this.#unchain(node);
      if (this.#levelBlocks[node] !== 0) this.#levels.free(this.#levelBlocks[node]!);
      this.#childCounts[parent]!--;
      this.#slots.release(node);
      node = parent;
    }
  }

  #bucket(parent: number, hash: number): number {
    return (Math.imul(parent, 0x9e3779b1) ^ hash) & (this.#buckets.length - 1);
  }

  #chain(node: number): void {
    if (this.#slots.count > this.#buckets.length) this.#rehash();
    const bucket = this.#bucket(this.#parents[node]!, this.#hashes[node]!);
    this.#chains[node] = this.#buckets[bucket]!;
    this.#buckets[bucket] = node;
  }

  #unchain(node: number): void {
    const bucket = this.#bucket(this.#parents[node]!, this.#hashes[node]!);
    const next = this.#chains[node]!;
    if (this.#buckets[bucket] === node) {
      this.#buckets[bucket] = next;
      return;
    }
    let before = this.#buckets[bucket]!;
    while (this.#chains[before] !== node) before = this.#chains[before]!;
    this.#chains[before] = next;
  }

  #rehash(): void {
    const old = this.#buckets;
    this.#buckets = new Uint32Array(old.length * 4);
    for (let node of old) {
      while (node !== 0) {
        const next = this.#chains[node]!;
        const bucket = this.#bucket(this.#parents[node]!, this.#hashes[node]!);
        this.#chains[node] = this.#buckets[bucket]!;
        this.#buckets[bucket] = node;
        node = next;
      }
    }
  }

  #grow(node: number): void {
    if (node < this.#parents.length) return;
    this.#firstRows = grownU32(this.#firstRows, node);
    this.#parents = grownU32(this.#parents, node);
    this.#hashes = grownU32(this.#hashes, node);
    this.#levelBlocks = grownU32(this.#levelBlocks, node);
    this.#levelBytes = grownU32(this.#levelBytes, node);
    this.#singleLevelChildren = grownU32(this.#singleLevelChildren, node);
    this.#multiLevelChildren = grownU32(this.#multiLevelChildren, node);
    this.#childCounts = grownU32(this.#childCounts, node);
    this.#chains = grownU32(this.#chains, node);
  }
}

/** Where the level that begins at `start` ends. */
function levelEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== SLASH) at++;
  return at;
}
