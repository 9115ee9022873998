// The store in a folder against a map: batches of a real journal, logs of every size, and crashes. Whatever was committed is
// there, in `load` and in `read`, however often the log began anew meanwhile.
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import type { Store } from "../../adapters/storage/store.ts";
import { Journal, messageKey, Table, WriteBatch } from "../../core/mod.ts";
import { Random } from "../support/random.ts";
import { newFolder } from "../support/serving.ts";

/** By hand: `SANSMQ_COMMITS=20000 npx vitest run test/storage/log-model.test.ts`. */
const commits = Number(process.env["SANSMQ_COMMITS"] ?? 150);
const seed = Number(process.env["SANSMQ_SEED"] ?? Date.now() % 1e9);
const REMOVED = 0xffff_ffff;
const MESSAGES = 10;
const tables = Object.values(Table);

type Contents = Map<string, Buffer>;

/** A key of few, so that most writes replace another one: short, longer than LMDB takes, or of a message. */
function someKey(table: Table, random: Random): Uint8Array {
  if (table === Table.Message) return messageKey(1 + random.below(MESSAGES));
  return Buffer.alloc(random.pick([1, 8, 1899, 1900, 2500]), random.below(3));
}

/** Around the lengths at which a value gets a checksum, or pages of its own. */
function someValue(random: Random): Buffer {
  const length = random.pick([0, random.below(20), 1000 + random.below(40), random.below(9000)]);
  return Buffer.alloc(length, random.below(256));
}

const nameOf = (table: Table, key: Uint8Array): string =>
  `${table} ${Buffer.from(key).toString("hex")}`;

/** Writes a few changes of `contents` to the journal, as a broker does: only a put of a new key is new. */
function change(journal: Journal, contents: Contents, random: Random): void {
  for (let n = 1 + random.below(random.below(10) === 0 ? 60 : 6); n > 0; n--) {
    const table = random.pick(tables);
    const key = someKey(table, random);
    const name = nameOf(table, key);
    const isThere = contents.has(name);
    const value = isThere && random.below(5) < 3 ? null : someValue(random);
    const at = journal.begin(table, key.length, value === null ? REMOVED : value.length);
    journal.bytes.set(key, at);
    if (value !== null) journal.bytes.set(value, at + key.length);
    journal.finish(!isThere);
    if (value === null) contents.delete(name);
    else contents.set(name, value);
  }
}

async function loaded(store: Store): Promise<Contents> {
  const contents: Contents = new Map();
  await store.load!((table, key, value) => {
    expect(contents.has(nameOf(table, key))).toBe(false);
    contents.set(nameOf(table, key), Buffer.from(value));
  });
  return contents;
}

/** The messages by number, as `read` finds them. */
async function expectRead(store: Store, contents: Contents): Promise<void> {
  const numbers = Float64Array.from({ length: MESSAGES }, (_, index) => index + 1);
  const values = await store.read!(numbers);
  const found = values.map((value) => (value === null ? null : Buffer.from(value)));
  const expected = Array.from(numbers, (n) => contents.get(nameOf(Table.Message, messageKey(n))));
  expect(found).toEqual(expected.map((value) => value ?? null));
}

test(`the store has what was committed, after crashes and with a log of any size (seed ${seed})`, {
  timeout: commits > 150 ? 3_600_000 : 60_000,
}, async () => {
  const random = new Random(seed);
  const someLog = (): number => random.pick([0, 300, 3000, 20_000, 4_194_304]);
  const place = newFolder();
  let crashes = 0;
  const ended: Store[] = [];
  let store = await openLmdbStore(join(place, "0"), someLog());
  const journal = new Journal();
  const batch = new WriteBatch();
  const contents: Contents = new Map();
  for (let n = 0; n < commits; n++) {
    change(journal, contents, random);
    journal.poll(batch);
    await store.commit(batch);
    journal.commit(batch.lastSeq);
    const what = random.below(10);
    if (what < 3) await expectRead(store, contents);
    if (what > 1) continue;
    // A crash leaves the files as they are.
    const [before, after] = [join(place, `${crashes}`), join(place, `${++crashes}`)];
    mkdirSync(after);
    for (const file of ["data.mdb", "journal.log"]) {
      copyFileSync(join(before, file), join(after, file));
    }
    ended.push(store);
    store = await openLmdbStore(after, someLog());
    expect(await loaded(store)).toEqual(contents);
    if (ended.length > 20) for (const old of ended.splice(0)) await old.close();
  }
  for (const old of [...ended, store]) await old.close();
  const last = await openLmdbStore(join(place, `${crashes}`));
  expect(await loaded(last)).toEqual(contents);
  await last.close();
});
