/**
 * A store in a folder: a log and LMDB. A commit resolves once its batch is in the log and synced (journal-log.ts). When the
 * log is full, one transaction brings LMDB to the state after all its batches. A record that one batch puts and a later
 * batch of the same log removes never reaches LMDB. `record-keys.ts` has the keys and values in LMDB.
 */
import { join, resolve } from "node:path";
import type { RootDatabase } from "lmdb";
import type { JournalBatch, JournalRecords, Table } from "../../../core/mod.ts";
import {
  ConfigError,
  type Journal,
  messageKey,
  Table as Tables,
  WriteBatch,
} from "../../../core/mod.ts";
import { checkText } from "../../checks.ts";
import type { Store } from "../store.ts";
import { checkStoreFile, entriesOf } from "./check-file.ts";
import { commitFailure, roomError } from "./commit-failure.ts";
import { allocateFiles } from "./disk-room.ts";
import { lockFolder } from "./folder-lock.ts";
import {
  APPLIED_KEY,
  appliedNumber,
  appliedValue,
  JournalLog,
  type LogContents,
  parseLog,
  readLogFile,
  SyncError,
} from "./journal-log.ts";
import { DATA_FILE, IS_READABLE } from "./lmdb-file.ts";
import { lmdbModule, openOptions } from "./lmdb-module.ts";
import { syncFolder, writableFolder } from "./make-folder.ts";
import { changesOf, putRecords, unchangedRecords } from "./merged-records.ts";
import { removeUnfinished } from "./new-store.ts";
import { storedKey, writeStored } from "./record-keys.ts";
import { withoutChecksum } from "./value-checksum.ts";

/**
 * Opens the store in `folder`, which it makes if need be. Rejects with ConfigError if `lmdb` is not
 * installed, the folder cannot be written, its files are damaged, or another process has it. `logBytesMax`: batches
 * that have no room in a log of that size go to LMDB directly.
 */
export async function openLmdbStore(
  folder: string,
  logBytesMax: number = LOG_BYTES_MAX,
): Promise<Store> {
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
    const database = open<Uint8Array, Uint8Array>({ path, ...openOptions });
    try {
      const applied = appliedNumber(database.get(APPLIED_KEY));
      const contents = parseLog(path, readLogFile(path), applied);
      const log = new JournalLog(path, contents, logBytesMax);
      // The names of new files have to survive a crash of the machine too.
      syncFolder(path);
      return new LmdbStore(path, database, log, contents, unlock);
    } catch (error) {
      await database.close();
      throw error;
    }
  } catch (error) {
    await unlock();
    throw error;
  }
}

class LmdbStore implements Store {
  readonly isDurable = true;
  readonly #database: RootDatabase<Uint8Array, Uint8Array>;
  readonly #log: JournalLog;
  /** The last write of each key in the batches that LMDB does not have. */
  readonly #changes: Journal;
  /** Takes the changes that LMDB has, so that their memory is used again. */
  readonly #applied = new WriteBatch();
  /** Whether LMDB has all batches of the log. */
  #isApplied: boolean;
  readonly #unlock: () => Promise<void>;
  /** The reads that have not ended. */
  readonly #reads = new Set<Promise<void>>();

  readonly #file: string;
  #closing: Promise<void> | null = null;
  /** The last transaction failed. */
  #hasFailed = false;
  /** The log could not be synced: a later sync would succeed although parts of the batch may be missing. */
  #broken: SyncError | null = null;

  constructor(
    path: string,
    database: RootDatabase<Uint8Array, Uint8Array>,
    log: JournalLog,
    contents: LogContents,
    unlock: () => Promise<void>,
  ) {
    this.#file = join(path, DATA_FILE);
    this.#database = database;
    this.#log = log;
    this.#changes = changesOf(contents.batches);
    this.#isApplied = contents.batches.length === 0;
    this.#unlock = unlock;
  }

  load(put: (table: Table, key: Uint8Array, value: Uint8Array) => void): void {
    // Without LMDB, which takes four times as long for it.
    const entries = IS_READABLE
      ? entriesOf(this.#file)
      : this.#database.getRange({ snapshot: true });
    for (const records of [unchangedRecords(entries, this.#changes), putRecords(this.#changes)]) {
      for (const { table, key, value } of records) put(table, key, value);
    }
  }

  async commit(batch: JournalBatch): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    if (batch.count === 0) return;
    const bytes = batch.encoded();
    if (!this.#log.hasRoom(bytes.length)) await this.#applyLog();
    if (!this.#log.hasRoom(bytes.length)) {
      await this.#transact(batch.records(), bytes.length);
      return;
    }
    try {
      await this.#log.append(bytes);
    } catch (error) {
      if (error instanceof SyncError) this.#broken = error;
      throw error;
    }
    this.#isApplied = false;
    const records = batch.records();
    while (records.next()) this.#changes.copy(records);
  }

  /** Applies the batches of the log to LMDB, and begins the log anew. */
  async #applyLog(): Promise<void> {
    if (this.#isApplied) return;
    const changes = this.#changes;
    await this.#transact(changes.records(), changes.backlogBytes, this.#log.last);
    changes.poll(this.#applied);
    changes.commit(changes.lastSeq);
    this.#isApplied = true;
    this.#log.restart();
  }

  /** Writes records in one transaction. `applied`: it has all batches of the log up to this one. */
  async #transact(
    records: JournalRecords,
    byteCount: number,
    applied: number | null = null,
  ): Promise<void> {
    if (this.#hasFailed) {
      // Each attempt of LMDB on a full disk writes lines to the standard error.
      const full = roomError(this.#file, byteCount);
      if (full !== null) throw full;
    }
    const before = this.#lastTransaction;
    const database = this.#database;
    try {
      const done = database.batch(() => {
        writeStored(records, (key, value) => {
          if (value === null) void database.remove(key);
          else void database.put(key, value);
        });
        if (applied !== null) void database.put(APPLIED_KEY, appliedValue(applied));
      });
      await done;
      await database.flushed;
      this.#hasFailed = false;
    } catch (error) {
      this.#hasFailed = true;
      const isVisible = this.#lastTransaction !== before;
      throw await commitFailure(error, isVisible, this.#file, byteCount);
    }
  }

  /** The number of the last transaction that a reader of the database sees. */
  get #lastTransaction(): number {
    return (this.#database as unknown as LmdbInternals).env.info().lastTxnId;
  }

  async read(numbers: Float64Array): Promise<readonly (Uint8Array | null)[]> {
    const database = this.#database;
    const keys = Array.from(numbers, (number) => storedKey(Tables.Message, messageKey(number)));
    const changed = Array.from(numbers, (number) => {
      const value = this.#changes.find(Tables.Message, messageKey(number));
      // A view of the memory of the changes is valid until the next commit.
      return value === undefined || value === null ? value : value.slice();
    });
    // A thread of the database reads them from the disk, because `get` would block the event loop.
    const isRead = database.prefetch(keys.filter((_, at) => changed[at] === undefined));
    this.#reads.add(isRead);
    await isRead.finally(() => this.#reads.delete(isRead));
    // A read transaction that began before the last commit does not see its records.
    database.resetReadTxn();
    return keys.map((key, at) => {
      const value = changed[at];
      if (value !== undefined) return value;
      const stored = database.get(key);
      // A damaged message is none.
      return stored === undefined ? null : withoutChecksum(key, stored);
    });
  }

  /** More than one call has the effect of one. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all(this.#reads);
    // Everything is durable in the log, so a full disk does not matter.
    if (this.#broken === null && !this.#hasFailed) await this.#applyLog().catch(() => {});
    const closed = this.#database.close();
    // After a failed commit, LMDB waits for its flush for ever.
    if (!this.#hasFailed) await closed;
    this.#log.close();
    await this.#unlock();
  }
}

/** What the types of lmdb leave out. */
interface LmdbInternals {
  readonly env: { info(): { readonly lastTxnId: number } };
}

/** The longest log. A longer one takes longer to apply, while commits wait. */
const LOG_BYTES_MAX = 4 * 1024 * 1024;
