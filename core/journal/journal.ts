/**
 * Numbers the writes for the store and groups them: all writes since the last poll form one atomic
 * batch. Output that depends on writes waits until the last of them is committed.
 *
 * Within the open batch a write replaces an earlier one with the same key. A put whose key is new in
 * the batch is cancelled by its removal: a message that is delivered and acknowledged while the batch
 * before it is being synced costs the store nothing. Writes keep their numbers either way.
 */
import { copyBytes } from "../base/bytes.ts";
import { hashBytes } from "../base/hash.ts";
import type { JournalRecords, Seq, Table } from "../boundary.ts";
import type { BatchReader } from "./batch.ts";
import {
  HEADER_BYTES,
  NEW,
  RECORD_HEAD_BYTES,
  REMOVED,
  REPLACED,
  recordBytes,
  TABLE,
  WriteBatch,
} from "./batch.ts";

export class Journal {
  readonly #open = new WriteBatch();
  /** Positions of records in the open batch by hash of their key; 0: free. Open addressing. */
  #index: Int32Array = new Int32Array(INDEX_MIN);
  /** The entries of the index, replaced records included. */
  #indexed = 0;
  /** Where the current record begins. */
  #at = 0;
  #committed = 0;
  /** The last write of the batch that was polled, and its size until it is durable. */
  #polledSeq = 0;
  #polledBytes = 0;
  /** The store has failed permanently: no more writes will be durable. */
  hasFailed = false;
  /** The store has no room for the batch that was polled. The host tries again. */
  isFull = false;

  constructor() {
    this.#open.reset(1);
  }

  /**
   * The number of the newest write, or 0. Output that depends on all writes so far waits for it.
   */
  get lastSeq(): Seq {
    return this.#open.lastSeq;
  }

  /**
   * Begins a write; returns where its key goes in `bytes`, and its value behind that. `valueBytes`:
   * REMOVED removes the key. The caller fills in both, then calls `finish`.
   */
  begin(table: Table, keyBytes: number, valueBytes: number): number {
    const open = this.#open;
    open.reserve(RECORD_HEAD_BYTES + keyBytes + (valueBytes === REMOVED ? 0 : valueBytes));
    const at = open.length;
    this.#at = at;
    open.bytes[at] = table;
    open.view.setUint32(at + 1, keyBytes);
    open.view.setUint32(at + 5, valueBytes);
    return at + RECORD_HEAD_BYTES;
  }

  /** The memory of the open batch, valid until the next `begin`. */
  get bytes(): Uint8Array {
    return this.#open.bytes;
  }
  /** The same memory, for integers. */
  get view(): DataView {
    return this.#open.view;
  }

  /** Ends a write. `isNew`: it puts a key that has no record now. */
  finish(isNew: boolean): void {
    const open = this.#open;
    const at = this.#at;
    const length = recordBytes(open.view, at);
    open.lastSeq++;
    const slot = this.#find(at);
    const before = this.#index[slot]!;
    let isNewInBatch = isNew;
    if (before === 0) {
      this.#indexed++;
    } else if ((open.bytes[before]! & REPLACED) === 0) {
      isNewInBatch = (open.bytes[before]! & NEW) !== 0;
      open.bytes[before]! |= REPLACED;
      open.replacedBytes += recordBytes(open.view, before);
      open.count--;
      // The put never left the process, so the store has nothing to remove.
      if (isNewInBatch && open.view.getUint32(at + 5) === REMOVED) return;
    }
    if (isNewInBatch) open.bytes[at]! |= NEW;
    this.#index[slot] = at;
    open.length = at + length;
    open.count++;
    if (this.#indexed * 2 > this.#index.length) this.#resizeIndex(this.#index.length * 2);
    else if (open.replacedBytes > REPLACED_BYTES_MAX && open.replacedBytes * 2 > open.length) {
      this.#resizeIndex(this.#index.length);
    }
  }

  get committed(): Seq {
    return this.#committed as Seq;
  }

  commit(seq: Seq): void {
    this.#committed = Math.max(this.#committed, seq);
    if (seq >= this.#polledSeq) this.#polledBytes = 0;
  }

  /** Numbers go on behind those of a recovered store, whose writes up to `seq` are durable. */
  continueAfter(seq: number): void {
    this.#open.reset(seq + 1);
    this.#committed = seq;
  }

  /** The number of writes that are not durable yet. */
  get backlog(): number {
    return this.lastSeq - this.#committed;
  }

  /** The size of the writes that are not durable yet, without those that cancelled each other. */
  get backlogBytes(): number {
    return this.#open.length - this.#open.replacedBytes + this.#polledBytes;
  }

  /** Whether there are writes since the last poll, also if they cancelled each other. */
  get hasOpen(): boolean {
    return this.#open.lastSeq >= this.#open.firstSeq;
  }

  /** Swaps the open batch with `batch`; false if there are no writes. */
  poll(batch: WriteBatch): boolean {
    const open = this.#open;
    if (!this.hasOpen) return false;
    batch.reset(open.lastSeq + 1);
    open.swap(batch);
    this.#polledSeq = batch.lastSeq;
    this.#polledBytes = batch.length;
    if (this.#indexed > 0) {
      const { length } = this.#index;
      if (length > INDEX_MIN && this.#indexed * 8 < length) this.#index = new Int32Array(INDEX_MIN);
      else this.#index.fill(0);
      this.#indexed = 0;
    }
    return true;
  }

  /** Writes the current record of a batch, as if it were a change of the state. */
  copy({ table, key, value, isNew }: JournalRecords): void {
    const at = this.begin(table, key.length, value === null ? REMOVED : value.length);
    copyBytes(key, 0, key.length, this.bytes, at);
    if (value !== null) copyBytes(value, 0, value.length, this.bytes, at + key.length);
    this.finish(isNew);
  }

  /** The records of the open batch. */
  records(): BatchReader {
    return this.#open.records();
  }

  /** The number of records in the open batch. */
  get count(): number {
    return this.#open.count;
  }

  /**
   * The value of a key in the open batch, a view that is valid until the next write. Null: the key
   * is removed; undefined: the batch has no record of it.
   */
  find(table: Table, key: Uint8Array): Uint8Array | null | undefined {
    const open = this.#open;
    // Looked up as a record behind the last one.
    const end = open.length;
    const at = this.begin(table, key.length, REMOVED);
    copyBytes(key, 0, key.length, open.bytes, at);
    const found = this.#index[this.#find(end)]!;
    if (found === 0 || (open.bytes[found]! & REPLACED) !== 0) return undefined;
    const valueBytes = open.view.getUint32(found + 5);
    if (valueBytes === REMOVED) return null;
    const start = found + RECORD_HEAD_BYTES + key.length;
    return open.bytes.subarray(start, start + valueBytes);
  }

  /** The slot of the index for the key of the record at `at`: that of a record with the same key, or a free one. */
  #find(at: number): number {
    const { bytes, view } = this.#open;
    const index = this.#index;
    const mask = index.length - 1;
    const keyBytes = view.getUint32(at + 1);
    const start = at + RECORD_HEAD_BYTES;
    const table = bytes[at]! & TABLE;
    let slot = hashBytes(bytes, start, start + keyBytes, table) & mask;
    for (; ; slot = (slot + 1) & mask) {
      const other = index[slot]!;
      if (other === 0 || other === at) return slot;
      if ((bytes[other]! & TABLE) !== table || view.getUint32(other + 1) !== keyBytes) continue;
      const shift = other - at;
      let i = start;
      while (i < start + keyBytes && bytes[i] === bytes[i + shift]) i++;
      if (i === start + keyBytes) return slot;
    }
  }

  /** Drops replaced records, and makes an index of `length` slots for the others. */
  #resizeIndex(length: number): void {
    const open = this.#open;
    this.#index = new Int32Array(Math.max(INDEX_MIN, length));
    this.#indexed = 0;
    open.compact();
    for (let at = HEADER_BYTES; at < open.length; at += recordBytes(open.view, at)) {
      this.#index[this.#find(at)] = at;
      this.#indexed++;
    }
  }
}

const INDEX_MIN = 1024;
/** Replaced records beyond this, and beyond half of the batch, are dropped at once. */
const REPLACED_BYTES_MAX = 65_536;
