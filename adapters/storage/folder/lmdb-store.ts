/**
 * A store in a folder, by LMDB: a batch is one transaction, and a commit resolves once the transaction
 * is flushed to the disk.
 *
 * A key is the table in one byte, then the key of the record. LMDB bounds the length of keys: of a longer
 * key, its SHA-256 stands in its place, and the value begins with the key: `key length u32 · key · value`.
 */
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { RootDatabase } from "lmdb";
import type { JournalBatch, Table } from "../../../core/mod.ts";
import { ConfigError, messageKey, Table as Tables } from "../../../core/mod.ts";
import { checkText } from "../../checks.ts";
import type { Store } from "../store.ts";
import { lockFolder } from "./folder-lock.ts";

/**
 * Opens the store in `folder`, which it makes if need be. Rejects with ConfigError if `lmdb` is not
 * installed, the folder cannot be written, or another process has it.
 */
export async function openLmdbStore(folder: string): Promise<Store> {
  checkText("store", folder);
  const { open } = await lmdbModule();
  const path = resolve(folder);
  try {
    makeFolder(path);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code, name } = error as { readonly code?: string; readonly name?: string };
    // Deno's own error says which permission is missing.
    if (name === "NotCapable") throw error;
    throw new ConfigError(
      "store",
      folder,
      `a folder that can be written (${code ?? String(error)})`,
    );
  }
  const unlock = await lockFolder(path);
  if (unlock === null) {
    throw new ConfigError("store", folder, "a folder that no other process uses");
  }
  try {
    const database = open({
      path,
      keyEncoding: "binary",
      encoding: "binary",
      // A value is read once: at the start, or before it is sent.
      cache: false,
      compression: false,
    });
    return new LmdbStore(database, unlock);
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Makes a folder and those above it. Not by `recursive`: where the system makes none, as in /proc, Node tries for ever. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  mkdirSync(path, { mode: 0o700 });
}

class LmdbStore implements Store {
  readonly isDurable = true;
  readonly #database: RootDatabase<Uint8Array, Uint8Array>;
  readonly #unlock: () => Promise<void>;
  /** The reads that have not ended. */
  readonly #reads = new Set<Promise<void>>();

  constructor(database: RootDatabase, unlock: () => Promise<void>) {
    this.#database = database as RootDatabase<Uint8Array, Uint8Array>;
    this.#unlock = unlock;
  }

  load(put: (table: Table, key: Uint8Array, value: Uint8Array) => void): void {
    for (const { key, value } of this.#database.getRange({ snapshot: true })) {
      const first = key[0]!;
      if ((first & LONG) === 0) {
        put(first as Table, key.subarray(1), value);
        continue;
      }
      const keyEnd = 4 + viewOf(value).getUint32(0);
      put((first & ~LONG) as Table, value.subarray(4, keyEnd), value.subarray(keyEnd));
    }
  }

  async commit(batch: JournalBatch): Promise<void> {
    const database = this.#database;
    const done = database.batch(() => {
      const records = batch.records();
      while (records.next()) {
        const { table, key, value } = records;
        const isLong = key.length >= KEY_BYTES_MAX;
        const at = isLong ? hashedKey(table, key) : plainKey(table, key);
        if (value === null) void database.remove(at);
        else void database.put(at, isLong ? withKey(key, value) : value);
      }
    });
    await done;
    await database.flushed;
  }

  async read(numbers: Float64Array): Promise<readonly (Uint8Array | null)[]> {
    const database = this.#database;
    const keys = Array.from(numbers, (number) => plainKey(Tables.Message, messageKey(number)));
    // A thread of the database reads them from the disk, because `get` would block the event loop.
    const isRead = database.prefetch(keys);
    this.#reads.add(isRead);
    await isRead.finally(() => this.#reads.delete(isRead));
    // A read transaction that began before the last commit does not see its records.
    database.resetReadTxn();
    return keys.map((key) => database.get(key) ?? null);
  }

  async close(): Promise<void> {
    await Promise.all(this.#reads);
    await this.#database.close();
    await this.#unlock();
  }
}

function plainKey(table: Table, key: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + key.length);
  bytes[0] = table;
  bytes.set(key, 1);
  return bytes;
}

function hashedKey(table: Table, key: Uint8Array): Uint8Array {
  return plainKey((table | LONG) as Table, createHash("sha256").update(key).digest());
}

function withKey(key: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + key.length + value.length);
  viewOf(bytes).setUint32(0, key.length);
  bytes.set(key, 4);
  bytes.set(value, 4 + key.length);
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

async function lmdbModule(): Promise<typeof import("lmdb")> {
  try {
    return await import("lmdb");
  } catch (error) {
    const { message, name } = error as { readonly message?: string; readonly name?: string };
    if (name === "NotCapable") throw error;
    throw new ConfigError(
      "store",
      "lmdb",
      "an installed package",
      `store: the package lmdb cannot be loaded (${message}); npm install lmdb, or choose the memory store`,
    );
  }
}

/** Added to the table in the key of a record with a long key. */
const LONG = 0x80;
/** LMDB takes 1978 bytes with pages of 4096 bytes. */
const KEY_BYTES_MAX = 1900;
