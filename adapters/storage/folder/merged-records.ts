/** The records of a store: those of LMDB, as the batches of the log change them. */
import { Journal, type JournalRecords, type Table } from "../../../core/mod.ts";
import { APPLIED_KEY, appliedNumber, isAppliedKey } from "./journal-log.ts";
import type { LmdbEntry, LmdbFile } from "./lmdb-file.ts";
import type { StoredRecord } from "./record-keys.ts";
import { isRecord, recordOf, storedKey } from "./record-keys.ts";

/** The number of the last batch that LMDB's file has; null: it has had none. */
export function appliedIn(file: LmdbFile): number | null {
  for (const { key, value } of file.entries(APPLIED_KEY[0])) {
    if (isAppliedKey(key)) return appliedNumber(value);
  }
  return null;
}

/** What batches change together: the last write of each key. */
export function changesOf(batches: readonly JournalRecords[]): Journal {
  const changes = new Journal();
  for (const batch of batches) while (batch.next()) changes.copy(batch);
  return changes;
}

/** The record of an entry of LMDB; null: it is none, or `changes` has a later write of its key. */
export function unchangedRecord({ key, value }: LmdbEntry, changes: Journal): StoredRecord | null {
  if (isAppliedKey(key)) return null;
  const record = recordOf(key, value);
  if (changes.count === 0) return record;
  const isChanged = isRecord(record)
    ? changes.find(record.table, record.key) !== undefined
    : isStoredKeyIn(changes, key);
  return isChanged ? null : record;
}

/** Whether `changes` has a write of the record with this key in LMDB. A damaged record has no other key. */
function isStoredKeyIn(changes: Journal, stored: Uint8Array): boolean {
  const records = changes.records();
  while (records.next()) {
    const key = storedKey(records.table, records.key);
    if (key.length === stored.length && key.every((byte, at) => byte === stored[at])) return true;
  }
  return false;
}

/** The records that `changes` puts. */
export function* putRecords(changes: Journal): Generator<StoredRecord> {
  const records = changes.records();
  while (records.next()) {
    const { table, key, value } = records;
    if (value !== null) yield { table, key, value };
  }
}

/** Passes on the records of a store: `take` gets every entry of LMDB, then `finish` is called. */
export function mergeInto(
  changes: Journal,
  put: (table: Table, key: Uint8Array, value: Uint8Array) => void,
): { take(entry: LmdbEntry): void; finish(): void } {
  return {
    take(entry) {
      const record = unchangedRecord(entry, changes);
      if (record !== null) put(record.table, record.key, record.value);
    },
    finish() {
      for (const { table, key, value } of putRecords(changes)) put(table, key, value);
    },
  };
}
