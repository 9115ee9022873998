/** Writes records to a store and reads them, as text. */
import { expect } from "vitest";
import type { Store } from "../../adapters/storage/store.ts";
import { appendRecord, type Table, WriteBatch } from "../../core/mod.ts";

type Write = readonly [table: Table, key: string | Uint8Array, value: string | Uint8Array | null];

/** Commits one batch. */
export async function commit(store: Store, ...writes: readonly Write[]): Promise<void> {
  const batch = new WriteBatch();
  for (const [table, key, value] of writes) {
    appendRecord(
      batch,
      table,
      Buffer.from(key as string),
      value === null ? null : Buffer.from(value as string),
    );
  }
  await store.commit(batch);
}

/** All records of a store: `table key` → value. */
export async function records(store: Store): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  await store.load!((table, key, value) => {
    const name = `${table} ${Buffer.from(key).toString()}`;
    expect(found.has(name)).toBe(false);
    found.set(name, Buffer.from(value).toString());
  });
  return found;
}
