/** The records of a store: those of LMDB, as the batches of the log change them. */
import { Journal, type JournalRecords } from "../../../core/mod.ts";
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

/** The records of LMDB's entries whose keys `changes` does not write. */
export function* unchangedRecords(
  entries: Iterable<LmdbEntry>,
  changes: Journal,
): Generator<StoredRecord> {
  for (const { key, value } of entries) {
    if (isAppliedKey(key)) continue;
    const record = recordOf(key, value);
    if (changes.count === 0 || !isChanged(record, key, changes)) yield record;
  }
}

function isChanged(record: StoredRecord, stored: Uint8Array, changes: Journal): boolean {
  return isRecord(record)
    ? changes.find(record.table, record.key) !== undefined
    : isStoredKeyIn(changes, stored);
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

/** By how much `changes` raises the number of records. */
export function addedCount(changes: Journal): number {
  let count = 0;
  const records = changes.records();
  while (records.next()) {
    if (records.value === null) count--;
    else if (records.isNew) count++;
  }
  return count;
}

/** The records that `changes` puts. */
export function* putRecords(changes: Journal): Generator<StoredRecord> {
  const records = changes.records();
  while (records.next()) {
    const { table, key, value } = records;
    if (value !== null) yield { table, key, value };
  }
}
