// Torn writes: whatever part of the last commit a power cut leaves on the disk, the store opens to the state before it or
// after it. A file that is cut, or that lost pages, is refused or opens to one of these states, and never ends the process.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import { appendRecord, Table, WriteBatch } from "../../core/mod.ts";
import { Random } from "../support/random.ts";
import { type Damage, LastCommit, outcomes, PAGE_BYTES, SECTOR_BYTES } from "./torn-cases.ts";

/** By hand, all offsets: `SANSMQ_TORN=all npx vitest run test/storage/torn.test.ts`. */
const isWhole = process.env["SANSMQ_TORN"] === "all";
const seed = Number(process.env["SANSMQ_SEED"] ?? Date.now() % 1e9);
const timeout = isWhole ? 3_600_000 : 60_000;

/** A store after so many commits, as files `before` and `after` the last one, and what each has. */
async function storeOf(commits: number, random: Random) {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-torn-"));
  const path = join(folder, "store");
  // Without a log: each batch is a transaction.
  const store = await openLmdbStore(path, 0);
  for (let commit = 1; commit <= commits; commit++) {
    if (commit === commits) copyFileSync(join(path, "data.mdb"), join(folder, "before"));
    await store.commit(someBatch(commit, random));
  }
  copyFileSync(join(path, "data.mdb"), join(folder, "after"));
  await store.close();
  const last = new LastCommit(folder);
  const whole = (base: "before" | "after"): Damage => ({
    base,
    length: last[base].length,
    patches: [],
  });
  const [before, after] = await outcomes(folder, [whole("before"), whole("after")]);
  expect(before).not.toBe(after);
  return { folder, last, before: before!, after: after! };
}

/** Messages that come and go, and records that are replaced, as with a broker. */
function someBatch(commit: number, random: Random): WriteBatch {
  const batch = new WriteBatch();
  const put = (table: Table, key: string, bytes: number | null): void => {
    const value = bytes === null ? null : Buffer.alloc(bytes, `${commit} `);
    appendRecord(batch, table, Buffer.from(key), value);
  };
  for (let i = 0; i < 4; i++)
    put(Table.Message, `${commit}.${i}`, random.pick([20, 300, 3000, 20_000]));
  for (let i = 0; i < 4; i++) put(Table.Queue, `queue ${commit}.${i}`, 30);
  if (commit > 3) for (let i = 0; i < 4; i++) put(Table.Message, `${commit - 3}.${i}`, null);
  put(Table.Session, `session ${commit % 5}`, 21);
  put(Table.Retained, `retained ${commit % 3}`, random.below(2000));
  return batch;
}

type Torn = Awaited<ReturnType<typeof storeOf>>;

/** How often each outcome is there: "before", "after", "empty", "refused", or what it is and for which damage. */
async function counted(torn: Torn, damages: readonly Damage[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const found = await outcomes(torn.folder, damages);
  found.forEach((outcome, index) => {
    const name = nameOf(torn, outcome) ?? `${outcome}: ${JSON.stringify(damages[index])}`;
    counts[name] = (counts[name] ?? 0) + 1;
  });
  return counts;
}

function nameOf({ before, after }: Torn, outcome: string): string | null {
  if (outcome === before) return "before";
  if (outcome === after) return "after";
  if (outcome.startsWith("0 ")) return "empty";
  const isRefused =
    /^refused: store: .* is damaged: /.test(outcome) || outcome === "damaged records";
  return isRefused ? "refused" : null;
}

describe(`seed ${seed}`, () => {
  const random = new Random(seed);
  let stores: Torn[];
  beforeAll(async () => {
    // The last commit is the first one, one that only adds pages, or one that uses free pages again.
    const commitCounts = isWhole ? [1, 2, 3, 4, 5, 6, 7, 12, 13, 40, 41] : [1, 2, 13, 40];
    stores = await Promise.all(
      commitCounts.map((commits) => storeOf(commits, new Random(seed + commits))),
    );
  });
  afterAll(() => {
    for (const { folder } of stores) rmSync(folder, { recursive: true });
  });

  test("whatever part of a commit is on the disk before its sync ends, the store has the state before it", {
    timeout,
  }, async () => {
    for (const torn of stores) {
      const count = isWhole ? 3000 : 60;
      const damages = Array.from({ length: count }, () => torn.last.cutInFirstStep(random));
      expect(await counted(torn, damages)).toEqual({ before: count });
    }
  });

  test("whether the meta data of what is synced is on the disk or not, the store has the state after or before it", async () => {
    for (const torn of stores) {
      expect(torn.last.secondStep).toHaveLength(1);
      const damages = [true, false].map((isWritten) => torn.last.cutInSecondStep(isWritten));
      expect(await outcomes(torn.folder, damages)).toEqual([torn.after, torn.before]);
    }
  });

  test("a file that is cut at any byte is refused or has the state after the commit, and one without a byte is new", {
    timeout,
  }, async () => {
    for (const torn of isWhole ? stores : stores.slice(2, 3)) {
      const { length } = torn.last.after;
      // The fields of the meta data, then the boundaries of pages and sectors.
      const lengths = new Set([0, 1, 23, 24, 167, 168, 2047, 2048, 2215, 2216]);
      const step = isWhole ? SECTOR_BYTES : 2 * PAGE_BYTES;
      for (let at = 0; at <= length; at += step) {
        for (const near of [at - 1, at, at + 1]) if (near >= 0 && near < length) lengths.add(near);
      }
      const damages = Array.from(lengths, (cut): Damage => {
        return { base: "after", length: cut, patches: [] };
      });
      const counts = await counted(torn, damages);
      const { before = 0, after = 0, refused = 0, empty = 0, ...others } = counts;
      // The first byte of a store is zero. Before the first commit, the state is the empty one.
      expect([before + empty, others]).toEqual([2, {}]);
      expect(refused).toBeGreaterThan(damages.length / 4);
      expect(after + refused + 2).toBe(damages.length);
    }
  });

  test("a page of the last commit that is zero or has its old content is found", {
    timeout,
  }, async () => {
    const total = { after: 0, refused: 0 };
    for (const torn of stores) {
      const damages = torn.last.withoutPages();
      // Some pages are free: nothing reads them.
      const { after = 0, refused = 0, ...others } = await counted(torn, damages);
      expect(others).toEqual({});
      total.after += after;
      total.refused += refused;
    }
    console.log(`pages of the last commit: ${JSON.stringify(total)}`);
    expect(total.refused).toBeGreaterThan(total.after);
  });

  test("no damage of any sectors ends the process", { timeout }, async () => {
    for (const torn of isWhole ? stores : stores.slice(2)) {
      const noise = Buffer.alloc(torn.last.after.length);
      for (let at = 0; at < noise.length; at++) noise[at] = random.below(256);
      writeFileSync(join(torn.folder, "noise"), noise);
      const count = isWhole ? 3000 : 60;
      const damages = Array.from({ length: count }, () => torn.last.withDamage(random));
      const found = await outcomes(torn.folder, damages);
      const wrong = found.flatMap((outcome, index) =>
        /^(crashed|LMDB)/.test(outcome) ? [`${outcome}: ${JSON.stringify(damages[index])}`] : [],
      );
      expect(wrong).toEqual([]);
      const counts: Record<string, number> = {};
      for (const outcome of found) {
        const name = nameOf(torn, outcome) ?? outcome.replace(/ .*/, " records");
        counts[name] = (counts[name] ?? 0) + 1;
      }
      console.log(`${count} files with damaged sectors: ${JSON.stringify(counts)}`);
    }
  });
});
