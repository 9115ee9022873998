// The reader of LMDB files: it reads what LMDB wrote, and no damage ends the process or gives a wrong record.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { open } from "lmdb";
import { describe, expect, test } from "vitest";
import { LmdbFile, type PageFault } from "../../adapters/storage/folder/lmdb-file.ts";
import { Random } from "../support/random.ts";
import { newFolder } from "../support/serving.ts";

type Entries = Map<string, string>;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A file of LMDB after random transactions, and what is in it. */
async function written(
  seed: number,
  transactions: number,
): Promise<{ path: string; has: Entries }> {
  const random = new Random(seed);
  const folder = newFolder();
  const database = open<Uint8Array, Uint8Array>({
    ...{ path: folder, keyEncoding: "binary", encoding: "binary" },
  });
  const has: Entries = new Map();
  for (let n = 0; n < transactions; n++) {
    await database.batch(() => {
      for (let put = random.below(60); put > 0; put--) {
        const keyBytes = 1 + random.below(random.below(8) === 0 ? 1800 : 12);
        const key = Buffer.from(Array.from({ length: keyBytes }, () => random.below(256)));
        const length = random.below(random.below(8) === 0 ? 20_000 : 200);
        const value = Buffer.alloc(length, random.below(256));
        void database.put(key, value);
        has.set(hex(key), hex(value));
      }
      for (const key of has.keys()) {
        if (random.below(3) !== 0) continue;
        void database.remove(Buffer.from(key, "hex"));
        has.delete(key);
      }
    });
  }
  await database.flushed;
  await database.close();
  return { path: join(folder, "data.mdb"), has };
}

function read(path: string, first: number | null = null) {
  const file = new LmdbFile(path);
  try {
    const found: Entries = new Map();
    const keys: string[] = [];
    for (const { key, value } of file.entries(first)) {
      found.set(hex(key), hex(value));
      keys.push(hex(key));
    }
    return { found, keys, faults: [...file.faults] as readonly PageFault[], count: file.count };
  } finally {
    file.close();
  }
}

/** Not `toEqual`, which would print large values. */
function isEqual(a: Entries, b: Entries): boolean {
  return a.size === b.size && Array.from(a).every(([key, value]) => b.get(key) === value);
}

const seed = Number(process.env["SANSMQ_SEED"] ?? Date.now() % 1e9);

describe(`a file of LMDB (seed ${seed})`, () => {
  test("is read as LMDB wrote it, in the order of keys", async () => {
    for (let n = 0; n < 8; n++) {
      const { path, has } = await written(seed + n, 3 + n * 8);
      const { found, keys, faults, count } = read(path);
      expect(faults).toEqual([]);
      expect(count).toBe(has.size);
      expect(isEqual(found, has)).toBe(true);
      expect(keys).toEqual(keys.toSorted());
    }
  });

  test("is read in part, by the first byte of the keys", async () => {
    const { path, has } = await written(seed, 40);
    for (let first = 0; first < 256; first++) {
      const start = first.toString(16).padStart(2, "0");
      const expected = new Map(Array.from(has).filter(([key]) => key.startsWith(start)));
      expect(isEqual(read(path, first).found, expected)).toBe(true);
    }
  });

  test("damaged anywhere, gives only records that were written, or says that it is damaged", async () => {
    const { path, has } = await written(seed, 30);
    const whole = readFileSync(path);
    const random = new Random(seed);
    const damaged = join(newFolder(), "data.mdb");
    let faulty = 0;
    for (let n = 0; n < 150; n++) {
      const bytes = Buffer.from(whole);
      const kind = random.below(3);
      // A page of noise, a page of zeros, or noise in the header of a page.
      const page = random.below(bytes.length / 4096);
      const start = page * 4096;
      const end = start + (kind === 2 ? 24 : 4096);
      for (let at = start; at < end; at++) bytes[at] = kind === 1 ? 0 : random.below(256);
      writeFileSync(damaged, bytes);
      const { found, faults } = read(damaged);
      if (faults.length > 0) faulty++;
      // LMDB has no checksums: the bytes within a key or a value may be others, and nothing tells.
      // Without one of the metas, an earlier transaction is read.
      if (kind !== 0 && page > 1)
        for (const [key, value] of found) {
          expect(has.get(key)?.length).toBe(value.length);
        }
    }
    expect(faulty).toBeGreaterThan(0);
  });

  test("cut anywhere, gives the records of the pages that are left", async () => {
    const { path, has } = await written(seed, 30);
    const whole = readFileSync(path);
    const cut = join(newFolder(), "data.mdb");
    for (let pages = 0; pages < whole.length / 4096; pages++) {
      writeFileSync(cut, whole.subarray(0, pages * 4096 + 100));
      const { found, faults } = read(cut);
      for (const [key, value] of found) expect(has.get(key) === value).toBe(true);
      if (found.size < has.size) expect(faults).not.toEqual([]);
    }
  });
});

test("an empty file is an empty store, as for LMDB", () => {
  const path = join(newFolder(), "data.mdb");
  writeFileSync(path, "");
  expect(read(path)).toMatchObject({ count: 0, faults: [] });
});

test("a file of another kind is named so", () => {
  const folder = newFolder();
  mkdirSync(join(folder, "x"));
  const path = join(folder, "data.mdb");
  writeFileSync(path, "x".repeat(100_000));
  expect(read(path).faults).toEqual([{ page: 0, what: "is not the first page of an LMDB file" }]);
});
