// Opens damaged files of a store, one after another, each in a folder of its own: `node torn-child.mjs FOLDER`. A line of
// standard input is a case; the line of standard output for it is the digest of what the store has, or an error.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { open } from "lmdb";
import { openOptions } from "../../dist/adapters/storage/folder/lmdb-module.js";
import { openLmdbStore } from "../../dist/adapters/storage/folder/lmdb-store.js";
import { recordOf } from "../../dist/adapters/storage/folder/record-keys.js";

const folder = process.argv[2];
const files = new Map();

function fileOf(name) {
  if (!files.has(name)) files.set(name, readFileSync(join(folder, name)));
  return files.get(name);
}

/** The file of a case: `base`, then ranges of bytes from other files or of zeros, then cut to `length`. */
function damaged({ base, length, patches }) {
  const bytes = Buffer.alloc(length);
  fileOf(base).copy(bytes, 0, 0, length);
  for (const [from, start, end] of patches) {
    if (from === "zeros") bytes.fill(0, start, end);
    else if (start < fileOf(from).length) {
      fileOf(from).copy(bytes, start, start, Math.min(end, length));
    }
  }
  return bytes;
}

async function outcomeOf(path) {
  let store;
  let closed = async () => {};
  try {
    store = await openLmdbStore(path);
  } catch (error) {
    return `refused: ${String(error.message ?? error).split("\n")[0]}`;
  }
  try {
    const loaded = new Digest();
    await store.load((table, key, value) => loaded.add(table, key, value));
    // The store loads without LMDB, which writes the next batch.
    const database = open({ path, ...openOptions });
    closed = () => database.close();
    const stored = new Digest();
    for (const { key, value } of database.getRange({ snapshot: true })) {
      const record = recordOf(key, value);
      stored.add(record.table, record.key, record.value);
    }
    const text = loaded.text();
    return text === stored.text() ? text : `LMDB has ${stored.text()} instead of ${text}`;
  } finally {
    await closed();
    await store.close();
  }
}

/** A digest of records in any order. */
class Digest {
  #records = [];
  #isDamaged = false;

  add(table, key, value) {
    if (table === 63) this.#isDamaged = true;
    const hash = createHash("sha256").update(`${table} ${key.length} `).update(key).update(value);
    this.#records.push(hash.digest("hex"));
  }

  text() {
    if (this.#isDamaged) return "damaged records";
    const hash = createHash("sha256").update(this.#records.sort().join());
    return `${this.#records.length} ${hash.digest("hex")}`;
  }
}

// Removed at the end only: LMDB takes a file with the inode of a removed one for the removed one.
const paths = [];
for await (const line of createInterface(process.stdin)) {
  const { number, ...file } = JSON.parse(line);
  const path = join(folder, `case-${number}`);
  paths.push(path);
  mkdirSync(path);
  writeFileSync(join(path, "data.mdb"), damaged(file));
  process.stdout.write(`${await outcomeOf(path)}\n`);
}
for (const path of paths) rmSync(path, { recursive: true });
