/**
 * A store in a folder, by LMDB: a batch is one transaction, and a commit resolves once the transaction
 * is flushed to the disk. `record-keys.ts` has its keys and values.
 */
import { join, resolve } from "node:path";
import type { RootDatabase } from "lmdb";
import type { JournalBatch, Table } from "../../../core/mod.ts";
import { ConfigError, messageKey, Table as Tables } from "../../../core/mod.ts";
import { checkText } from "../../checks.ts";
import type { Store } from "../store.ts";
import { checkStoreFile, readWhole } from "./check-file.ts";
import { commitFailure, roomError } from "./commit-failure.ts";
import { allocateFiles } from "./disk-room.ts";
import { lockFolder } from "./folder-lock.ts";
import type { LmdbEntry } from "./lmdb-file.ts";
import { DATA_FILE, IS_READABLE } from "./lmdb-file.ts";
import { lmdbModule, openOptions } from "./lmdb-module.ts";
import { syncFolder, writableFolder } from "./make-folder.ts";
import { removeUnfinished } from "./new-store.ts";
import { recordOf, storedKey, storedValue } from "./record-keys.ts";
import { withoutChecksum } from "./value-checksum.ts";

/**
 * Opens the store in `folder`, which it makes if need be. Rejects with ConfigError if `lmdb` is not
 * installed, the folder cannot be written, its file is damaged, or another process has it.
 */
export async function openLmdbStore(folder: string): Promise<Store> {
  checkText("store", folder);
  const { open } = await lmdbModule();
  const path = resolve(folder);
  writableFolder("store", path);
  const unlock = await lockFolder(path);
  if (unlock === null) {
    throw new ConfigError("store", folder, "a folder that no other process uses");
  }
  try {
    removeUnfinished(path);
    checkStoreFile(path);
    allocateFiles(path);
    const database = open({ path, ...openOptions });
    // The name of a new file has to survive a crash of the machine too.
    syncFolder(path);
    return new LmdbStore(path, database, unlock);
  } catch (error) {
    await unlock();
    throw error;
  }
}

class LmdbStore implements Store {
  readonly isDurable = true;
  readonly #database: RootDatabase<Uint8Array, Uint8Array>;
  readonly #unlock: () => Promise<void>;
  /** The reads that have not ended. */
  readonly #reads = new Set<Promise<void>>();

  readonly #file: string;
  /** The last commit failed. */
  #hasFailed = false;

  constructor(path: string, database: RootDatabase, unlock: () => Promise<void>) {
    this.#file = join(path, DATA_FILE);
    this.#database = database as RootDatabase<Uint8Array, Uint8Array>;
    this.#unlock = unlock;
  }

  load(put: (table: Table, key: Uint8Array, value: Uint8Array) => void): void {
    const take = ({ key, value }: LmdbEntry): void => {
      const record = recordOf(key, value);
      put(record.table, record.key, record.value);
    };
    // Without LMDB, which takes four times as long for it.
    if (IS_READABLE) readWhole(this.#file, take);
    else for (const entry of this.#database.getRange({ snapshot: true })) take(entry);
  }

  async commit(batch: JournalBatch): Promise<void> {
    if (this.#hasFailed) {
      // Each attempt of LMDB on a full disk writes lines to the standard error.
      const full = roomError(this.#file, batch);
      if (full !== null) throw full;
    }
    const before = this.#lastTransaction;
    try {
      await this.#apply(batch);
      this.#hasFailed = false;
    } catch (error) {
      this.#hasFailed = true;
      const isVisible = this.#lastTransaction !== before;
      throw await commitFailure(error, isVisible, this.#file, batch);
    }
  }

  /** The number of the last transaction that a reader of the database sees. */
  get #lastTransaction(): number {
    return (this.#database as unknown as LmdbInternals).env.info().lastTxnId;
  }

  async #apply(batch: JournalBatch): Promise<void> {
    const database = this.#database;
    const done = database.batch(() => {
      const records = batch.records();
      while (records.next()) {
        const { table, key, value } = records;
        const at = storedKey(table, key);
        if (value === null) void database.remove(at);
        else void database.put(at, storedValue(at, key, value));
      }
    });
    await done;
    await database.flushed;
  }

  async read(numbers: Float64Array): Promise<readonly (Uint8Array | null)[]> {
    const database = this.#database;
    const keys = Array.from(numbers, (number) => storedKey(Tables.Message, messageKey(number)));
    // A thread of the database reads them from the disk, because `get` would block the event loop.
    const isRead = database.prefetch(keys);
    this.#reads.add(isRead);
    await isRead.finally(() => this.#reads.delete(isRead));
    // A read transaction that began before the last commit does not see its records.
    database.resetReadTxn();
    return keys.map((key) => {
      const stored = database.get(key);
      // A damaged message is none.
      return stored === undefined ? null : withoutChecksum(key, stored);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#reads);
    const closed = this.#database.close();
    // After a failed commit, LMDB waits for its flush for ever.
    if (!this.#hasFailed) await closed;
    await this.#unlock();
  }
}

/** What the types of lmdb leave out. */
interface LmdbInternals {
  readonly env: { info(): { readonly lastTxnId: number } };
}
