// The store in a folder: it passes the suite on every runtime, and one process has it at a time.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "lmdb";
import { expect, onTestFinished, test } from "vitest";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import { messageKey, Table } from "../../core/mod.ts";
import { run } from "../support/process.ts";
import { describeOn, runtimes } from "../support/runtimes.ts";
import { commit, records } from "./store-records.ts";

const fixture = fileURLToPath(new URL("suite-fixture.mjs", import.meta.url));

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "sansmq-store-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describeOn(Object.keys(runtimes), (name, [command, ...flags]) => {
  test("the store in a folder passes the suite for stores", async () => {
    const permitted = flags.map((flag) => (flag === "--allow-net" ? "--allow-all" : flag));
    const count = /^Node 2[246]$/.test(name) ? "5000" : "100000";
    await passes(command, ...permitted, fixture, count);
  });
});

test.each(["0", "20000"])("the store passes the suite with a log of %s bytes", async (logBytes) => {
  await passes(process.execPath, fixture, "5000", logBytes);
});

async function passes(command: string, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await run(command, ...args).finished;
  const lines = stdout.trimEnd().split("\n");
  expect(lines.filter((line) => !line.startsWith("passes: "))).toEqual([]);
  expect([code, stderr, lines.length]).toEqual([0, "", 14]);
}

test("a folder has one store at a time", async () => {
  const path = folder();
  const store = await openLmdbStore(path);
  await expect(openLmdbStore(path)).rejects.toThrow(
    /^store: .* is not allowed; allowed is a folder that no other process uses$/,
  );
  await store.close();
  await (await openLmdbStore(path)).close();
});

test("a store may be closed more than once", async () => {
  const path = folder();
  const store = await openLmdbStore(path);
  await commit(store, [Table.Session, "s", "x"]);
  await Promise.all([store.close(), store.close()]);
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
  ["a file", "/etc/passwd", /is not a folder/],
  ["a folder that the system does not let anybody make", "/proc/none/at/all", /ENOENT/],
])("the error names the reason why a store cannot be opened in %s", async (_, path, code) => {
  await expect(openLmdbStore(path)).rejects.toThrow(code);
});

test("what cannot be a record is given as one of no table, and can be removed", async () => {
  const path = folder();
  const raw = open<Uint8Array, Uint8Array>({ path, keyEncoding: "binary", encoding: "binary" });
  // A long key whose value is too short, and a table that no batch can name.
  const keys = [Uint8Array.of(0x81, 1, 2), Uint8Array.of(0x7f), Uint8Array.of(0xff, 3)];
  for (const key of keys) await raw.put(key, Uint8Array.of(9));
  await raw.close();
  const store = await openLmdbStore(path);
  const found: Uint8Array[] = [];
  await store.load!((table, key, value) => {
    expect([Object.values(Table).includes(table), value.length]).toEqual([false, 0]);
    found.push(new Uint8Array(key));
    expect(table).toBe(63);
  });
  expect(found).toHaveLength(keys.length);
  await commit(store, ...found.map((key) => [63 as Table, key, null] as const));
  await store.close();
  const again = await openLmdbStore(path);
  await again.load!(() => expect.unreachable());
  await again.close();
});

test("a file that a crash of the machine left before the first commit is a new store", async () => {
  for (const bytes of [0, 1, 4096, 8192]) {
    const path = folder();
    writeFileSync(join(path, "data.mdb"), Buffer.alloc(bytes));
    const store = await openLmdbStore(path);
    await commit(store, [Table.Session, "a", "1"]);
    await store.close();
    const again = await openLmdbStore(path);
    expect(await records(again)).toEqual(new Map([["0 a", "1"]]));
    await again.close();
  }
});

test("a long value with another byte counts as damaged, also when it is read by number", async () => {
  const path = folder();
  const store = await openLmdbStore(path);
  const key = messageKey(1);
  await commit(
    store,
    [Table.Message, key, "m".repeat(9000)],
    [Table.Message, "k", "v".repeat(900)],
  );
  await store.close();
  const file = join(path, "data.mdb");
  const bytes = readFileSync(file);
  bytes[bytes.lastIndexOf("mmm")] = 0;
  writeFileSync(file, bytes);
  const again = await openLmdbStore(path);
  const found: [number, number][] = [];
  await again.load!((table, _, value) => found.push([table, value.length]));
  expect(found.sort()).toEqual([
    [Table.Message, 900],
    [63, 0],
  ]);
  expect(await again.read!(Float64Array.of(1, 2))).toEqual([null, null]);
  await again.close();
});

const damages: Record<string, (file: string) => void> = {
  "that is cut": (file) => truncateSync(file, 3 * 4096),
  "with a page of noise": (file) => spoil(file, 3 * 4096, 4 * 4096),
  "with noise at its beginning": (file) => spoil(file, 0, 4096),
  "that is not of LMDB": (file) => writeFileSync(file, "hello ".repeat(10_000)),
};

test.each(Object.entries(damages))(
  "a file %s is refused with the page and what can be read",
  async (_, damage) => {
    const path = folder();
    const store = await openLmdbStore(path);
    for (let n = 0; n < 100; n++) {
      await commit(store, [Table.Retained, `${n}`, "x".repeat(1000)]);
    }
    await store.close();
    damage(join(path, "data.mdb"));
    await expect(openLmdbStore(path)).rejects.toThrow(
      /^store: \S+\/data.mdb is damaged: page \d+ .*; (none|\d+) of its records can be read/,
    );
    // The folder is not locked.
    await expect(openLmdbStore(path)).rejects.toThrow(/is damaged/);
  },
);

/** Overwrites bytes with noise. */
function spoil(file: string, start: number, end: number): void {
  const bytes = readFileSync(file);
  for (let at = start; at < end; at++) bytes[at] = (at * 7919) >>> 3;
  writeFileSync(file, bytes);
}
