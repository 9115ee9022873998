/**
 * A store that is being made: from records, or as a copy of another one. It is made in a folder within its own, and
 * gets its place at once when it is complete and on the disk. If the process ends before, the folder is as it was.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { RootDatabase } from "lmdb";
import { ConfigError } from "../../../core/mod.ts";
import { lockFolder } from "./folder-lock.ts";
import { DATA_FILE, LmdbFile } from "./lmdb-file.ts";
import { lmdbModule, openOptions } from "./lmdb-module.ts";
import { syncFolder, writableFolder } from "./make-folder.ts";
import type { StoredRecord } from "./record-keys.ts";
import { storedKey, storedValue } from "./record-keys.ts";

export class NewStore {
  readonly #folder: string;
  readonly #unlock: () => Promise<void>;
  #database: RootDatabase<Uint8Array, Uint8Array> | null = null;

  private constructor(folder: string, unlock: () => Promise<void>) {
    this.#folder = folder;
    this.#unlock = unlock;
  }

  /** For a folder that has no store, or an empty one. `field` names it in errors. Rejects with ConfigError. */
  static async open(field: string, folder: string): Promise<NewStore> {
    const path = resolve(folder);
    writableFolder(field, path);
    const unlock = await lockFolder(path);
    if (unlock === null) {
      throw new ConfigError(field, folder, "a folder that no other process uses");
    }
    if (!isEmpty(path)) {
      await unlock();
      throw new ConfigError(field, folder, "a new folder, or one with an empty store");
    }
    return NewStore.inPlaceOf(path, unlock);
  }

  /** For a folder whose store is replaced, and which the caller has locked. `unlock` is called at the end. */
  static inPlaceOf(path: string, unlock: () => Promise<void>): NewStore {
    rmSync(join(path, MADE), { recursive: true, force: true });
    mkdirSync(join(path, MADE), { mode: 0o700 });
    return new NewStore(path, unlock);
  }

  /** The folder that gets the file of a copy. */
  get copyFolder(): string {
    return join(this.#folder, MADE);
  }

  /** Writes records. Returns the position of the first one whose key was written before, or -1. */
  async write(records: readonly StoredRecord[]): Promise<number> {
    const database = await this.#open();
    return database.transactionSync(() => {
      for (const [at, { table, key, value }] of records.entries()) {
        const stored = storedKey(table, key);
        if (database.doesExist(stored)) return at;
        database.putSync(stored, storedValue(stored, key, value));
      }
      return -1;
    });
  }

  async remove(records: readonly Pick<StoredRecord, "table" | "key">[]): Promise<void> {
    const database = await this.#open();
    database.transactionSync(() => {
      for (const { table, key } of records) database.removeSync(storedKey(table, key));
    });
  }

  /** Puts the store into its place. */
  async finish(): Promise<void> {
    await this.#open();
    await this.#database?.close();
    const made = join(this.copyFolder, DATA_FILE);
    sync(made);
    // The readers that the old lock file names do not read the new store.
    rmSync(join(this.#folder, LOCK_FILE), { force: true });
    renameSync(made, join(this.#folder, DATA_FILE));
    syncFolder(this.#folder);
    await this.#end();
  }

  /** Leaves the folder as it was. */
  async discard(): Promise<void> {
    await this.#database?.close();
    await this.#end();
  }

  async #end(): Promise<void> {
    rmSync(this.copyFolder, { recursive: true, force: true });
    await this.#unlock();
  }

  async #open(): Promise<RootDatabase<Uint8Array, Uint8Array>> {
    if (this.#database !== null) return this.#database;
    const { open } = await lmdbModule();
    // Synced as a whole, at the end.
    const options = { ...openOptions, path: this.copyFolder, noSync: true } as const;
    this.#database = open<Uint8Array, Uint8Array>(options);
    return this.#database;
  }
}

function isEmpty(path: string): boolean {
  const data = join(path, DATA_FILE);
  if (!existsSync(data)) return true;
  const file = new LmdbFile(data);
  file.close();
  return file.count === 0 && file.faultCount === 0;
}

function sync(path: string): void {
  const descriptor = openSync(path, process.platform === "win32" ? "r+" : "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The folder in which the store is made. */
const MADE = ".sansmq-new";
/** The file in which LMDB keeps its readers. */
const LOCK_FILE = "lock.mdb";
