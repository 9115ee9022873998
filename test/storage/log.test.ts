// The log of a store in a folder: whatever a power cut leaves of its last batch, the store has the state before or after
// it; damage anywhere else is refused; and the tools for stores read what only the log has.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import type { Store } from "../../adapters/storage/store.ts";
import { appendRecord, hashBytes, Table, WriteBatch } from "../../core/mod.ts";
import { Random } from "../support/random.ts";
import { newFolder } from "../support/serving.ts";
import { storeCommand } from "../support/store-command.ts";
import { commit, records } from "./store-records.ts";

/** By hand, every byte of the last batch: `SANSMQ_TORN=all npx vitest run test/storage/log.test.ts`. */
const isWhole = process.env["SANSMQ_TORN"] === "all";
const seed = Number(process.env["SANSMQ_SEED"] ?? Date.now() % 1e9);
const SECTOR_BYTES = 512;
const LOG = "journal.log";
const DATA = "data.mdb";

const text = (n: number, bytes: number): string => `${n} `.padEnd(bytes, "x");

/** The files of a store, as a crash at this moment leaves them. */
function filesOf(folder: string): { readonly data: Buffer; readonly log: Buffer } {
  return { data: readFileSync(join(folder, DATA)), log: readFileSync(join(folder, LOG)) };
}

/** A folder with these files. */
function folderWith({ data, log }: { readonly data: Buffer; readonly log: Buffer }): string {
  const folder = newFolder();
  writeFileSync(join(folder, DATA), data);
  writeFileSync(join(folder, LOG), log);
  return folder;
}

/** What a store of these files has, `key value` for each record in order. */
async function found(files: { readonly data: Buffer; readonly log: Buffer }): Promise<string> {
  const store = await openLmdbStore(folderWith(files));
  const lines = Array.from(await records(store), ([key, value]) => `${key} ${value}`);
  await store.close();
  return lines.sort().join("\n");
}

/**
 * The files before and after the last of `count` commits. The log has 9000 bytes, so that some of the commits begin it anew,
 * and old batches stand in the file behind the last one.
 */
async function lastOf(count: number) {
  const folder = newFolder();
  const store = await openLmdbStore(folder, 9000);
  let before = filesOf(folder);
  for (let n = 1; n <= count; n++) {
    before = filesOf(folder);
    const gone = n > 2 ? [[Table.Message, `${n - 2}`, null] as const] : [];
    await commit(store, [Table.Message, `${n}`, text(n, 100 + n * 90)], ...gone, [
      ...([Table.Session, "s", `${n}`] as const),
    ]);
  }
  const after = filesOf(folder);
  await store.close();
  return { before, after };
}

test(`whatever part of the last batch is on the disk, the store has the state before or after it (seed ${seed})`, {
  timeout: isWhole ? 3_600_000 : 60_000,
}, async () => {
  const random = new Random(seed);
  for (const count of [1, 2, 3, 8, 9, 20]) {
    const { before, after } = await lastOf(count);
    // Whether the log begins anew with the last commit or not, LMDB has all batches before it.
    const { data } = after;
    const [old, whole] = [await found({ data, log: before.log }), await found(after)];
    expect(old).not.toBe(whole);
    const changed: number[] = [];
    for (let at = 0; at < after.log.length; at += SECTOR_BYTES) {
      const [start, end] = [at, at + SECTOR_BYTES];
      if (!after.log.subarray(start, end).equals(before.log.subarray(start, end))) changed.push(at);
    }
    const outcomes = { before: 0, after: 0 };
    for (let n = 0; n < (isWhole ? 5000 : 40); n++) {
      const written = changed.filter(() => random.below(2) === 0);
      const isGrown = random.below(2) === 0;
      const ends = written.map((at) => Math.min(at + SECTOR_BYTES, after.log.length));
      const length = isGrown ? after.log.length : Math.max(before.log.length, ...ends, 0);
      const log = Buffer.alloc(length);
      before.log.copy(log);
      for (const at of written) after.log.copy(log, at, at, Math.min(at + SECTOR_BYTES, length));
      const state = await found({ data, log });
      expect([old, whole]).toContain(state);
      outcomes[state === whole ? "after" : "before"]++;
    }
    expect(outcomes.before).toBeGreaterThan(0);
  }
});

test("a log that is cut at any byte of its last batch has the state before it", async () => {
  const { before, after } = await lastOf(8);
  const old = await found({ data: after.data, log: before.log });
  const length = after.log.length - before.log.length;
  const step = isWhole ? 1 : 97;
  for (let cut = after.log.length - length; cut < after.log.length; cut += step) {
    expect(await found({ data: after.data, log: after.log.subarray(0, cut) })).toBe(old);
  }
});

test("a batch that is damaged before others is refused in one line", async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  for (let n = 1; n <= 3; n++) await commit(store, [Table.Message, `${n}`, text(n, 1000)]);
  const { data, log } = filesOf(folder);
  await store.close();
  log[200]! ^= 1;
  await expect(found({ data, log })).rejects.toThrow(
    /^store: \S+journal\.log is damaged: batch 1 is damaged$/,
  );
});

test.each([
  ["the head of the first batch", 30],
  ["the length in the head of the second batch", -8],
])("damage of %s is found if there are later batches", async (_, at) => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  await commit(store, [Table.Message, "1", text(1, 1000)]);
  const { length } = filesOf(folder).log;
  for (let n = 2; n <= 4; n++) await commit(store, [Table.Message, `${n}`, text(n, 1000)]);
  const { data, log } = filesOf(folder);
  await store.close();
  log[at > 0 ? at : length + 16 + at]! ^= 1;
  await expect(found({ data, log })).rejects.toThrow(
    /journal\.log is damaged: batch [12] is damaged$/,
  );
});

test("damage of a batch that LMDB has does not matter", async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  for (let n = 1; n <= 3; n++) await commit(store, [Table.Message, `${n}`, text(n, 1000)]);
  const before = await found(filesOf(folder));
  await store.close();
  const { data, log } = filesOf(folder);
  log[1500]! ^= 1;
  expect(await found({ data, log })).toBe(before);
});

test("a payload that is a frame is never taken for one", async () => {
  // The second batch begins the log anew and ends where the payload of the first one begins.
  const [record, key, head] = [9, 1, 16 + 32];
  const forged = new WriteBatch();
  appendRecord(forged, Table.Session, Buffer.from("forged"), Buffer.from("x"));
  const frame = Buffer.concat([Buffer.alloc(16), forged.encoded()]);
  frame.writeDoubleBE(3, 0);
  frame.writeUInt32BE(forged.encoded().length, 8);
  frame.writeUInt32BE(hashBytes(frame, 0, 12, 0), 12);
  const folder = newFolder();
  const store = await openLmdbStore(folder, 3000);
  const long = Buffer.concat([Buffer.alloc(record + key + head), frame, Buffer.alloc(2750)]);
  await commit(store, [Table.Message, "1", long]);
  // As long as what is before the frame: two heads, two keys.
  await commit(store, [Table.Message, "2", Buffer.alloc(record + key + head)]);
  const files = filesOf(folder);
  await store.close();
  // The log begins with 24 bytes, and the second batch is the first of it now.
  expect(files.log.readDoubleBE(24)).toBe(2);
  expect(files.log.indexOf(frame)).toBe(24 + head + record + key + long.indexOf(frame));
  const opened = await openLmdbStore(folderWith(files));
  const keys = [...(await records(opened)).keys()];
  expect(keys).toEqual([`${Table.Message} 1`, `${Table.Message} 2`]);
  await opened.close();
});

test("a record in the log takes the place of a damaged one in LMDB", async () => {
  const folder = newFolder();
  const key = "k".repeat(1200);
  const old = await openLmdbStore(folder);
  await commit(old, [Table.Retained, key, "OLDVALUE"]);
  await old.close();
  const store = await openLmdbStore(folder);
  await commit(store, [Table.Retained, key, "new value"]);
  const { data, log } = filesOf(folder);
  await store.close();
  data[data.indexOf("OLDVALUE")]! ^= 1;
  const damaged = folderWith({ data, log });
  const again = await openLmdbStore(damaged);
  expect([...(await records(again)).values()]).toEqual(["new value"]);
  await again.close();
});

test("a store that the log has emptied takes an import", async () => {
  const folder = newFolder();
  const first = await openLmdbStore(folder);
  await commit(first, [Table.Session, "client", "x"]);
  await first.close();
  const store = await openLmdbStore(folder);
  await commit(store, [Table.Session, "client", null]);
  const crashed = folderWith(filesOf(folder));
  await store.close();
  const file = join(newFolder(), "lines");
  writeFileSync(file, '{"type":"store","format":1}\n');
  expect(await storeCommand("import", crashed, file)).toMatchObject({ code: 0 });
});

test("a log that does not belong to the rest of the store is refused in one line", async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder, 3000);
  const { data } = filesOf(folder);
  for (let n = 1; n <= 8; n++) await commit(store, [Table.Message, `${n}`, text(n, 1000)]);
  const { log } = filesOf(folder);
  await store.close();
  await expect(found({ data, log })).rejects.toThrow(
    /^store: \S+journal\.log is damaged: begins with batch 7, but data\.mdb ends with 0$/,
  );
});

test.each([
  [
    "of a newer version",
    15,
    9,
    /journal\.log has format 9, and this version of sansmq reads format 1$/,
  ],
  ["that is none", 0, 9, /journal\.log is damaged: it begins with something else$/],
])("a log %s is refused in one line", async (_, at, byte, error) => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  await commit(store, [Table.Message, "1", "x"]);
  const { data, log } = filesOf(folder);
  await store.close();
  log[at] = byte;
  await expect(found({ data, log })).rejects.toThrow(error);
});

test("a store that was closed has everything in the file of LMDB", async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  await commit(store, [Table.Retained, "t", "value"]);
  await store.close();
  const copy = newFolder();
  copyFileSync(join(folder, DATA), join(copy, DATA));
  const copied = await openLmdbStore(copy);
  expect(await records(copied)).toEqual(new Map([[`${Table.Retained} t`, "value"]]));
  await copied.close();
});

test("an import into an emptied store does not get what the old log has", async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  for (const value of ["x", null]) await commit(store, [Table.Session, "client", value]);
  await store.close();
  const file = join(newFolder(), "lines");
  writeFileSync(file, '{"type":"store","format":1}\n');
  expect(await storeCommand("import", folder, file)).toMatchObject({ code: 0 });
  const again = await openLmdbStore(folder);
  expect(await records(again)).toEqual(new Map());
  await again.close();
});

test("verify, export, backup and compact read what only the log has", async () => {
  const header = '{"type":"store","format":1}\n';
  const file = join(newFolder(), "lines");
  writeFileSync(
    file,
    `${header}{"type":"session","clientId":"kept","expirySeconds":60,"ends":null}\n`,
  );
  const folder = newFolder();
  expect(await storeCommand("import", folder, file)).toMatchObject({ code: 0, stderr: "" });
  const [line] = (await storeCommand("export", folder)).stdout.split("\n").slice(1);
  const store = await openLmdbStore(folder);
  const [value] = [...(await rawRecords(store)).values()];
  // LMDB has the session "kept", and the log that it is gone and that there is another one.
  await commit(store, [Table.Session, "kept", null], [Table.Session, "new", value!]);
  const now = `${header}${line!.replace("kept", "new")}\n`;

  expect((await storeCommand("verify", folder)).stdout).toMatch(/^sessions +1$/m);
  expect((await storeCommand("export", folder)).stdout).toBe(now);
  const copy = join(newFolder(), "copy");
  expect((await storeCommand("backup", folder, copy)).stdout).toBe(`copied 1 records to ${copy}\n`);
  expect((await storeCommand("export", copy)).stdout).toBe(now);
  const crashed = folderWith(filesOf(folder));
  await store.close();
  expect(await storeCommand("compact", crashed)).toMatchObject({ code: 0, stderr: "" });
  expect((await storeCommand("export", crashed)).stdout).toBe(now);
});

async function rawRecords(store: Store): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  await store.load!((_, key, value) => {
    found.set(Buffer.from(key).toString(), value.slice());
  });
  return found;
}
