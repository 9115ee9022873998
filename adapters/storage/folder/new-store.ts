/**
 * A store that is being made: from records, or as a copy of another one. It is made in a folder within its own, and
 * gets its place at once when it is complete and on the disk. If the process ends before, the folder is as it was.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { RootDatabase } from "lmdb";
import type { JournalRecords } from "../../../core/mod.ts";
import { ConfigError } from "../../../core/mod.ts";
import { isStoreFull } from "../store-full.ts";
import type { FullError } from "./commit-failure.ts";
import { fullError } from "./commit-failure.ts";
import { allocateFiles } from "./disk-room.ts";
import { lockFolder } from "./folder-lock.ts";
import { LOG_FILE, parseLog, readLogFile } from "./journal-log.ts";
import { DATA_FILE, LmdbFile, LOCK_FILE } from "./lmdb-file.ts";
import { lmdbModule, openOptions } from "./lmdb-module.ts";
import { removeFolders, syncFolder, writableFolder } from "./make-folder.ts";
import { appliedIn, changesOf, putRecords, unchangedRecords } from "./merged-records.ts";
import type { StoredRecord } from "./record-keys.ts";
import { storedKey, storedValue, writeStored } from "./record-keys.ts";

export class NewStore {
  readonly #folder: string;
  readonly #unlock: () => Promise<void>;
  /** The folders that were made for this store, the innermost first. */
  readonly #made: readonly string[];
  #database: RootDatabase<Uint8Array, Uint8Array> | null = null;

  /** Whether it takes the place of a store, whose log goes on. */
  readonly #keepsLog: boolean;

  private constructor(
    folder: string,
    unlock: () => Promise<void>,
    made: readonly string[],
    keepsLog: boolean,
  ) {
    this.#folder = folder;
    this.#unlock = unlock;
    this.#made = made;
    this.#keepsLog = keepsLog;
  }

  /**
   * For a folder that has no store, or an empty one. `field` names it in errors. Rejects with ConfigError, or with
   * NoRoomError as every other call.
   */
  static async open(field: string, folder: string): Promise<NewStore> {
    const path = resolve(folder);
    const made = writableFolder(field, path);
    try {
      const unlock = await lockFolder(path);
      if (unlock === null) {
        throw new ConfigError(field, folder, "a folder that no other process uses");
      }
      if (!isEmpty(path)) {
        await unlock();
        throw new ConfigError(field, folder, "a new folder, or one with an empty store");
      }
      return await NewStore.#begin(path, unlock, made, false);
    } catch (error) {
      removeFolders(made);
      throw roomFailure(error, path);
    }
  }

  /** For a folder whose store is replaced by a copy, and which the caller has locked. */
  static inPlaceOf(path: string): Promise<NewStore> {
    return NewStore.#begin(path, () => Promise.resolve(), [], true);
  }

  /** `unlock` is called at the end. */
  static async #begin(
    path: string,
    unlock: () => Promise<void>,
    made: readonly string[],
    keepsLog: boolean,
  ): Promise<NewStore> {
    try {
      removeUnfinished(path);
      mkdirSync(join(path, MADE), { mode: 0o700 });
      return new NewStore(path, unlock, made, keepsLog);
    } catch (error) {
      await unlock();
      throw roomFailure(error, path);
    }
  }

  /** The folder that gets the file of a copy. */
  get copyFolder(): string {
    return join(this.#folder, MADE);
  }

  /** Writes records. Returns the position of the first one whose key was written before, or -1. */
  async write(records: readonly StoredRecord[]): Promise<number> {
    return this.#transact((database) => {
      for (const [at, { table, key, value }] of records.entries()) {
        const stored = storedKey(table, key);
        if (database.doesExist(stored)) return at;
        database.putSync(stored, storedValue(stored, key, value));
      }
      return -1;
    }, records);
  }

  async #apply(batches: readonly JournalRecords[]): Promise<void> {
    const changes = changesOf(batches);
    if (changes.count === 0) return;
    await this.#transact((database) => {
      writeStored(changes.records(), (key, value) => {
        if (value === null) database.removeSync(key);
        else database.putSync(key, value);
      });
      return 0;
    }, []);
  }

  async remove(records: readonly Pick<StoredRecord, "table" | "key">[]): Promise<void> {
    await this.#transact((database) => {
      for (const { table, key } of records) database.removeSync(storedKey(table, key));
      return 0;
    }, []);
  }

  /** Puts the store into its place, with batches that it does not have yet. */
  async finish(batches: readonly JournalRecords[] = []): Promise<void> {
    // In its old place, the store has them in its log.
    if (!this.#keepsLog) await this.#apply(batches);
    const made = join(this.copyFolder, DATA_FILE);
    // A file that is there is a copy.
    if (this.#database !== null || !existsSync(made)) await (await this.#open()).close();
    this.#database = null;
    try {
      sync(made);
    } catch (error) {
      throw this.failure(error, 0);
    }
    // Its batches do not belong to the new store. The old one is empty.
    if (!this.#keepsLog) rmSync(join(this.#folder, LOG_FILE), { force: true });
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
    removeFolders(this.#made);
  }

  /** NoRoomError if the disk had no room for `byteCount` bytes, else the error itself. */
  failure(error: unknown, byteCount: number): unknown {
    return roomFailure(error, this.#folder, join(this.copyFolder, DATA_FILE), byteCount);
  }

  async #transact(
    write: (database: RootDatabase<Uint8Array, Uint8Array>) => number,
    records: readonly StoredRecord[],
  ): Promise<number> {
    const byteCount = records.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    const database = await this.#open();
    try {
      return database.transactionSync(() => write(database));
    } catch (error) {
      throw this.failure(error, byteCount);
    }
  }

  async #end(): Promise<void> {
    rmSync(this.copyFolder, { recursive: true, force: true });
    await this.#unlock();
  }

  async #open(): Promise<RootDatabase<Uint8Array, Uint8Array>> {
    if (this.#database !== null) return this.#database;
    const { open } = await lmdbModule();
    try {
      // On a full disk LMDB would end the process.
      allocateFiles(this.copyFolder);
    } catch (error) {
      throw this.failure(error, 0);
    }
    // Synced as a whole, at the end.
    const options = { ...openOptions, path: this.copyFolder, noSync: true } as const;
    this.#database = open<Uint8Array, Uint8Array>(options);
    return this.#database;
  }
}

/** The disk has no room for a store. */
export class NoRoomError extends Error {
  override readonly name = "NoRoomError";
  readonly code: string;
  constructor(code: string, folder: string, cause: unknown) {
    super(`no room: ${code} in ${folder}`, { cause });
    this.code = code;
  }
}

/** NoRoomError if the disk had no room, else the error itself. `file`: one of LMDB, to which it could not write. */
export function roomFailure(error: unknown, folder: string, file = "", byteCount = 0): unknown {
  if (error instanceof ConfigError || error instanceof NoRoomError) return error;
  const full = isStoreFull(error)
    ? (error as FullError)
    : file === "" || !existsSync(file)
      ? null
      : fullError(error, file, byteCount);
  return full === null ? error : new NoRoomError(full.code, folder, error);
}

/** Removes what an import, a backup or a compaction left that was killed. The caller has the lock of the folder. */
export function removeUnfinished(folder: string): void {
  rmSync(join(folder, MADE), { recursive: true, force: true });
}

function isEmpty(path: string): boolean {
  const data = join(path, DATA_FILE);
  if (!existsSync(data)) return true;
  const log = readLogFile(path);
  const file = new LmdbFile(data);
  try {
    const changes = changesOf(parseLog(path, log, appliedIn(file) ?? 0).batches);
    for (const records of [unchangedRecords(file.entries(), changes), putRecords(changes)]) {
      for (const _ of records) return false;
    }
    return file.faultCount === 0;
  } finally {
    file.close();
  }
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
