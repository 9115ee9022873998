/** The tests that every durable store passes: ours, and those of programs. */
import { describe, expect, test } from "vitest";
import type { Store } from "../../adapters/storage/store.ts";
import { Journal } from "../../core/journal/journal.ts";
import { Table, WriteBatch } from "../../core/mod.ts";

/** What a test does with a store: it opens the same one again and again. */
export interface StoreUnderTest {
  open(): Promise<Store>;
}

export function storeSuite(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`a store ${name}`, () => {
    test("is empty at first", async () => {
      const { open } = await makeStore();
      const store = await open();
      expect(store.isDurable).toBe(true);
      expect(await records(store)).toEqual(new Map());
      await store.close();
    });

    test("returns the committed records after it was closed and opened again", async () => {
      const { open } = await makeStore();
      const store = await open();
      await commit(store, [Table.Session, "a", "1"], [Table.Retained, "a", "2"]);
      await commit(store, [Table.Session, "b", ""], [Table.Session, "a", "3"]);
      await store.close();
      const again = await open();
      expect(await records(again)).toEqual(
        new Map([
          [`${Table.Session} a`, "3"],
          [`${Table.Session} b`, ""],
          [`${Table.Retained} a`, "2"],
        ]),
      );
      await again.close();
    });

    test("forgets removed records, and accepts the removal of a key that it does not have", async () => {
      const { open } = await makeStore();
      const store = await open();
      await commit(store, [Table.Queue, "a", "1"], [Table.Queue, "b", "2"]);
      await commit(store, [Table.Queue, "a", null], [Table.Queue, "c", null]);
      await store.close();
      const again = await open();
      expect(await records(again)).toEqual(new Map([[`${Table.Queue} b`, "2"]]));
      await again.close();
    });

    test("keeps keys and values of every length, and tells keys apart that begin alike", async () => {
      const { open } = await makeStore();
      const store = await open();
      const lengths = [1, 255, 1899, 1900, 1901, 1978, 4096, 65_539];
      const writes = lengths.flatMap((length): Write[] => [
        [Table.Subscription, "k".repeat(length), "v".repeat(length)],
        [Table.Subscription, `${"k".repeat(length - 1)}x`, `${length}`],
      ]);
      const large: Write = [Table.Message, "large", "p".repeat(20_000_000)];
      await commit(store, ...writes, large);
      await commit(store, [Table.Subscription, "k".repeat(65_539), null]);
      await store.close();
      const again = await open();
      const expected = new Map(
        [...writes, large].map(([table, key, value]) => [`${table} ${key}`, value]),
      );
      expected.delete(`${Table.Subscription} ${"k".repeat(65_539)}`);
      expect(await records(again)).toEqual(expected);
      await again.close();
    });

    test("takes batch after batch, the last one wins", async () => {
      const { open } = await makeStore();
      const store = await open();
      for (let n = 0; n < 200; n++) {
        await commit(store, [Table.Queue, `${n % 7}`, `${n}`], [Table.Message, `${n}`, "m"]);
        if (n >= 10) await commit(store, [Table.Message, `${n - 10}`, null]);
      }
      await store.close();
      const again = await open();
      const found = await records(again);
      expect(found.size).toBe(7 + 10);
      expect(found.get(`${Table.Queue} 3`)).toBe("199");
      await again.close();
    });
  });
}

type Write = readonly [table: Table, key: string | Uint8Array, value: string | null];

/** Commits one batch, as a broker would make it. */
export async function commit(store: Store, ...writes: readonly Write[]): Promise<void> {
  const journal = new Journal();
  for (const [table, key, value] of writes) {
    const keyBytes = typeof key === "string" ? Buffer.from(key) : key;
    const valueBytes = value === null ? null : Buffer.from(value);
    const at = journal.begin(table, keyBytes.length, valueBytes?.length ?? 0xffff_ffff);
    journal.bytes.set(keyBytes, at);
    if (valueBytes !== null) journal.bytes.set(valueBytes, at + keyBytes.length);
    journal.finish(false);
  }
  const batch = new WriteBatch();
  journal.poll(batch);
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
