// The store in a folder: it passes the suite, and it is one process's at a time.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import { messageKey, Table } from "../../core/mod.ts";
import { commit, storeSuite } from "./suite.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "sansmq-store-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

storeSuite("in a folder", async () => {
  const path = folder();
  return { open: () => openLmdbStore(path) };
});

test("a folder has one store at a time", async () => {
  const path = folder();
  const store = await openLmdbStore(path);
  await expect(openLmdbStore(path)).rejects.toThrow(
    /^store: .* is not allowed; allowed is a folder that no other process uses$/,
  );
  await store.close();
  await (await openLmdbStore(path)).close();
});

test("a folder whose path is too long for a socket has one store at a time too", async () => {
  const path = join(folder(), "n".repeat(120));
  const store = await openLmdbStore(path);
  await expect(openLmdbStore(path)).rejects.toThrow(/no other process uses/);
  await store.close();
});

test.each([
  ["a file", "/etc/passwd", /EACCES|ENOTDIR/],
  ["a folder that the system does not let anybody make", "/proc/none/at/all", /ENOENT/],
])("the error names the reason why a store cannot be opened in %s", async (_, path, code) => {
  await expect(openLmdbStore(path)).rejects.toThrow(code);
});

test("messages are read by number as soon as they are committed, also while a batch is being stored", async () => {
  const store = await openLmdbStore(folder());
  const write = (number: number, value: string | null) =>
    [Table.Message, messageKey(number), value] as const;
  await commit(store, write(1, "one"), write(2, "two"));
  const text = async (...numbers: readonly number[]) =>
    (await store.read!(Float64Array.from(numbers))).map((value) =>
      value === null ? null : Buffer.from(value).toString(),
    );
  expect(await text(2, 3, 1)).toEqual(["two", null, "one"]);
  const storing = commit(store, write(3, "three"), write(1, null));
  expect(await text(2)).toEqual(["two"]);
  await storing;
  expect(await text(1, 3)).toEqual([null, "three"]);
  await store.close();
});
