/**
 * A batch of journal writes as one run of bytes: what a store applies in one transaction, or
 * appends to a log as it is. Integers are big-endian.
 *
 * ```
 * batch    header · records
 * header   format u8 · zero u8 u8 u8 · byte length u32 · checksum u32 · count u32 · first write f64 · last write f64
 * record   table u8 · key length u32 · value length u32 (REMOVED: none) · key · value
 * ```
 *
 * The byte length includes the header. The checksum covers all bytes after itself.
 */

import { viewOf } from "../base/bytes.ts";
import { grownU8 } from "../base/columns.ts";
import { hashBytes } from "../base/hash.ts";
import type { JournalBatch, Seq, Table } from "../boundary.ts";

/** A batch that the broker fills. The caller makes one and passes it to `pollJournal` again and again. */
export class WriteBatch implements JournalBatch {
  /** The header, then `length - HEADER_BYTES` bytes of records. */
  bytes: Uint8Array = new Uint8Array(ARENA_BYTES_MIN);
  view: DataView = viewOf(this.bytes);
  length: number = HEADER_BYTES;
  /** The number of records, without those that a later write of the batch replaced. */
  count = 0;
  /** The bytes of replaced records. */
  replacedBytes = 0;
  firstSeq: Seq = 1 as Seq;
  lastSeq: Seq = 0 as Seq;

  records(): BatchReader {
    return new BatchReader(this.bytes, HEADER_BYTES, this.length);
  }

  encoded(): Uint8Array {
    if (this.replacedBytes > 0) this.compact();
    const { bytes, view, length } = this;
    view.setUint32(0, FORMAT << 24);
    view.setUint32(4, length);
    view.setUint32(12, this.count);
    view.setFloat64(16, this.firstSeq);
    view.setFloat64(24, this.lastSeq);
    view.setUint32(8, hashBytes(bytes, CHECKED_START, length, 0));
    return bytes.subarray(0, length);
  }

  /** Makes room for `byteCount` more bytes. */
  reserve(byteCount: number): void {
    if (this.length + byteCount <= this.bytes.length) return;
    this.bytes = grownU8(this.bytes, this.length + byteCount - 1);
    this.view = viewOf(this.bytes);
  }

  /** Closes the gaps that replaced records left. */
  compact(): void {
    const { bytes, view } = this;
    let to = HEADER_BYTES;
    for (let at = HEADER_BYTES; at < this.length; ) {
      const end = at + recordBytes(view, at);
      if ((bytes[at]! & REPLACED) === 0) {
        if (to !== at) bytes.copyWithin(to, at, end);
        to += end - at;
      }
      at = end;
    }
    this.length = to;
    this.replacedBytes = 0;
  }

  /** Empties the batch; its next write has the number `firstSeq`. */
  reset(firstSeq: number): void {
    if (this.bytes.length > ARENA_BYTES_KEPT_MAX) {
      this.bytes = new Uint8Array(ARENA_BYTES_MIN);
      this.view = viewOf(this.bytes);
    }
    this.length = HEADER_BYTES;
    this.count = 0;
    this.replacedBytes = 0;
    this.firstSeq = firstSeq as Seq;
    this.lastSeq = (firstSeq - 1) as Seq;
  }

  /** Exchanges the contents of two batches. */
  swap(other: WriteBatch): void {
    [this.bytes, other.bytes] = [other.bytes, this.bytes];
    [this.view, other.view] = [other.view, this.view];
    [this.length, other.length] = [other.length, this.length];
    [this.count, other.count] = [other.count, this.count];
    [this.replacedBytes, other.replacedBytes] = [other.replacedBytes, this.replacedBytes];
    [this.firstSeq, other.firstSeq] = [other.firstSeq, this.firstSeq];
    [this.lastSeq, other.lastSeq] = [other.lastSeq, this.lastSeq];
  }
}

/**
 * Reads the records of a batch in order. `next` moves to the next record; key and value are views
 * that are valid as long as the bytes of the batch.
 */
export class BatchReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #next: number;
  #keyStart = 0;
  #keyEnd = 0;
  #valueBytes = 0;
  table: Table = 0;
  /** The key had no record before the batch; false: it may have had one. */
  isNew = false;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#next = start;
    this.#end = end;
  }

  /** Moves to the next record; false at the end. */
  next(): boolean {
    while (this.#next < this.#end) {
      const at = this.#next;
      this.#next += recordBytes(this.#view, at);
      const flags = this.#bytes[at]!;
      if ((flags & REPLACED) !== 0) continue;
      this.table = (flags & TABLE) as Table;
      this.isNew = (flags & NEW) !== 0;
      this.#keyStart = at + RECORD_HEAD_BYTES;
      this.#keyEnd = this.#keyStart + this.#view.getUint32(at + 1);
      this.#valueBytes = this.#view.getUint32(at + 5);
      return true;
    }
    return false;
  }

  get key(): Uint8Array {
    return this.#bytes.subarray(this.#keyStart, this.#keyEnd);
  }

  /** Null: the key is removed. */
  get value(): Uint8Array | null {
    if (this.#valueBytes === REMOVED) return null;
    return this.#bytes.subarray(this.#keyEnd, this.#keyEnd + this.#valueBytes);
  }
}

/**
 * Reads the records of an encoded batch. Null: the bytes are not one whole batch, or a newer program
 * wrote them.
 */
export function readBatch(bytes: Uint8Array): BatchReader | null {
  if (bytes.length < HEADER_BYTES) return null;
  const view = viewOf(bytes);
  const isWhole = view.getUint32(0) === FORMAT << 24 && view.getUint32(4) === bytes.length;
  if (!isWhole) return null;
  const isIntact = view.getUint32(8) === hashBytes(bytes, CHECKED_START, bytes.length, 0);
  return isIntact ? new BatchReader(bytes, HEADER_BYTES, bytes.length) : null;
}

/**
 * Appends a record to a batch, for a program that makes batches itself; null removes the key. The
 * caller puts no key of a table into a batch twice.
 */
export function appendRecord(
  batch: WriteBatch,
  table: Table,
  key: Uint8Array,
  value: Uint8Array | null,
): void {
  const valueBytes = value?.length ?? 0;
  batch.reserve(RECORD_HEAD_BYTES + key.length + valueBytes);
  const { bytes, view, length: at } = batch;
  bytes[at] = table;
  view.setUint32(at + 1, key.length);
  view.setUint32(at + 5, value === null ? REMOVED : valueBytes);
  bytes.set(key, at + RECORD_HEAD_BYTES);
  if (value !== null) bytes.set(value, at + RECORD_HEAD_BYTES + key.length);
  batch.length = at + RECORD_HEAD_BYTES + key.length + valueBytes;
  batch.count++;
  batch.lastSeq++;
}

/** The length of the record at `at`. */
export function recordBytes(view: DataView, at: number): number {
  const valueBytes = view.getUint32(at + 5);
  return RECORD_HEAD_BYTES + view.getUint32(at + 1) + (valueBytes === REMOVED ? 0 : valueBytes);
}

export const RECORD_HEAD_BYTES = 9;
/** The value length of a record that removes its key. */
export const REMOVED = 0xffff_ffff;
/** Bits of the first byte of a record: the table. */
export const TABLE = 0b0011_1111;
/** The key had no record before the batch. */
export const NEW = 0b0100_0000;
/** A later write of the batch replaced the record. */
export const REPLACED = 0b1000_0000;
export const HEADER_BYTES = 32;
const CHECKED_START = 12;
const FORMAT = 1;
const ARENA_BYTES_MIN = 4096;
/** A longer arena is dropped when it is empty. */
const ARENA_BYTES_KEPT_MAX = 4 * 1024 * 1024;
