/**
 * The records of the journal as LMDB keeps them.
 *
 * A key is the table in one byte, then the key of the record. LMDB bounds the length of keys: of a longer
 * key, its SHA-256 stands in its place, and the value begins with the key: `key length u32 · key · value`.
 * Behind a long value is its checksum (value-checksum.ts).
 */
import { createHash } from "node:crypto";
import type { JournalRecords, Table } from "../../../core/mod.ts";
import { prefixed, viewOf } from "../../bytes.ts";
import { withChecksum, withoutChecksum } from "./value-checksum.ts";

/** The key in LMDB of the record with this key. */
export function storedKey(table: Table, key: Uint8Array): Uint8Array {
  if (table === NO_TABLE) return key;
  return isLong(key)
    ? prefixed(table | LONG, createHash("sha256").update(key).digest())
    : prefixed(table, key);
}

/** Passes on each record as LMDB keeps it. Null removes the key. */
export function writeStored(
  records: JournalRecords,
  write: (key: Uint8Array, value: Uint8Array | null) => void,
): void {
  while (records.next()) {
    const { table, key, value } = records;
    const stored = storedKey(table, key);
    write(stored, value === null ? null : storedValue(stored, key, value));
  }
}

/** The value in LMDB, under `stored`, of the record with this key and value. */
export function storedValue(stored: Uint8Array, key: Uint8Array, value: Uint8Array): Uint8Array {
  return withChecksum(stored, isLong(key) ? withKey(key, value) : value);
}

function withKey(key: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + key.length + value.length);
  viewOf(bytes).setUint32(0, key.length);
  bytes.set(key, 4);
  bytes.set(value, 4 + key.length);
  return bytes;
}

export interface StoredRecord {
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * The record of a key and a value in LMDB, as views of them. What cannot be a record becomes one without a value in
 * a table that does not exist: it counts as damaged, and its removal removes the key.
 */
export function recordOf(key: Uint8Array, stored: Uint8Array): StoredRecord {
  const table = ((key[0] ?? NO_TABLE) & ~LONG) as Table;
  const value = withoutChecksum(key, stored);
  if (table >= NO_TABLE || value === null) return { table: NO_TABLE, key, value: NO_VALUE };
  if ((key[0]! & LONG) === 0) return { table, key: key.subarray(1), value };
  const keyEnd = value.length < 4 ? Number.POSITIVE_INFINITY : 4 + viewOf(value).getUint32(0);
  if (keyEnd > value.length) return { table: NO_TABLE, key, value: NO_VALUE };
  return { table, key: value.subarray(4, keyEnd), value: value.subarray(keyEnd) };
}

/** False: `recordOf` found none. */
export function isRecord({ table }: StoredRecord): boolean {
  return table !== NO_TABLE;
}

function isLong(key: Uint8Array): boolean {
  return key.length >= KEY_BYTES_MAX;
}

/** Added to the table in the key of a record with a long key. */
export const LONG = 0x80;
/** The largest table that a batch can name. No table has this number. */
const NO_TABLE = 0x3f as Table;
const NO_VALUE = new Uint8Array(0);
/** LMDB takes 1978 bytes with pages of 4096 bytes. */
const KEY_BYTES_MAX = 1900;
