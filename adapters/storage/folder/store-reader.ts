/**
 * Reads the store in a folder, also a damaged one, and also while a broker writes to it: then it reads the state as
 * of the beginning. Changes nothing.
 */
import { accessSync, constants, existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Journal, JournalRecords, Table } from "../../../core/mod.ts";
import { ConfigError } from "../../../core/mod.ts";
import { hasLock, lockFolder } from "./folder-lock.ts";
import { LOG_FILE, parseLog, readLogFile } from "./journal-log.ts";
import type { PageFault } from "./lmdb-file.ts";
import { DATA_FILE, IS_READABLE, LmdbFile, LOCK_FILE } from "./lmdb-file.ts";
import { lmdbModule, openOptions } from "./lmdb-module.ts";
import { notFolder } from "./make-folder.ts";
import {
  addedCount,
  appliedIn,
  changesOf,
  putRecords,
  unchangedRecords,
} from "./merged-records.ts";
import type { StoredRecord } from "./record-keys.ts";
import { LONG } from "./record-keys.ts";

export class StoreReader {
  /** A process, such as a broker, uses the store. */
  readonly isInUse: boolean;
  readonly #folder: string;
  readonly #file: LmdbFile;
  /** The code of the error of the system with which the folder could not be locked; null: it is locked, or in use. */
  readonly #lockFault: string | null;
  readonly #release: () => Promise<void>;
  /** The file of the log. */
  readonly #log: Uint8Array;
  /** The last write of each key in the batches that LMDB does not have. */
  readonly #changes: Journal;
  /** The number of records if no page is damaged and the log's batches name new keys as such. */
  readonly count: number;

  private constructor(
    folder: string,
    { isInUse, lockFault }: Access,
    release: () => Promise<void>,
  ) {
    const path = resolve(folder);
    this.#folder = folder;
    this.#lockFault = lockFault;
    this.isInUse = isInUse;
    this.#release = release;
    // The log is read before LMDB's file: LMDB already has the batches that the log has lost meanwhile.
    this.#log = readLogFile(path);
    this.#file = new LmdbFile(join(path, DATA_FILE), isInUse);
    try {
      const applied = appliedIn(this.#file);
      this.#changes = changesOf(this.batchesAfter(applied ?? 0));
      this.count = this.#file.count - (applied === null ? 0 : 1) + addedCount(this.#changes);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Opens the store in `folder`. Until it is closed, no broker can be started on it. Rejects with ConfigError. */
  static async open(folder: string): Promise<StoreReader> {
    if (!IS_READABLE) throw new ConfigError("store", folder, "a store of a 64-bit machine");
    const path = resolve(folder);
    checkReadable(folder, path);
    let lockFault: string | null = null;
    const unlock = await lockFolder(path).catch((error: unknown) => {
      const { code } = error as { readonly code?: unknown };
      if (!NO_LOCK_CODES.has(code)) throw error;
      // The lock of another user, whose broker may be running.
      if (code === "EACCES" && hasLock(path)) return null;
      // A store can be read where no lock can be made.
      lockFault = code as string;
      return () => Promise.resolve();
    });
    const isInUse = unlock === null;
    if (isInUse) lockFault = snapshotFault(path);
    const release =
      unlock ?? (lockFault === null ? await holdSnapshot(path) : () => Promise.resolve());
    for (let attempt = 1; ; attempt++) {
      try {
        return new StoreReader(folder, { isInUse, lockFault }, release);
      } catch (error) {
        // The broker may have written to its log while it was read.
        const mayPass = isInUse && error instanceof ConfigError && attempt < ATTEMPTS_MAX;
        if (mayPass) continue;
        await release();
        throw error;
      }
    }
  }

  /** Throws ConfigError if nothing can be written to the folder, as LMDB needs it for a copy without a broker. */
  checkWritable(): void {
    if (this.#lockFault === null) return;
    const allowed = `a folder that can be written (${this.#lockFault})`;
    throw new ConfigError("store", this.#folder, allowed);
  }

  /** The number of entries in LMDB's file if no page is damaged. */
  get storedCount(): number {
    return this.#file.count;
  }
  /** The batches of the log behind this number, in order. */
  batchesAfter(applied: number): readonly JournalRecords[] {
    return parseLog(resolve(this.#folder), this.#log, applied).batches;
  }

  /** The damaged pages that the last reading found: the first ones, and the number of all. */
  get faults(): readonly PageFault[] {
    return this.#file.faults;
  }
  get faultCount(): number {
    return this.#file.faultCount;
  }

  /** Every record: those of LMDB in the order of keys, then those of the log. */
  *records(): Generator<StoredRecord> {
    yield* unchangedRecords(this.#file.entries(), this.#changes);
    yield* putRecords(this.#changes);
  }

  /** The records of one table, those with long keys behind the others of LMDB, those of the log last. */
  *recordsOf(table: Table): Generator<StoredRecord> {
    for (const first of [table, table | LONG]) {
      yield* unchangedRecords(this.#file.entries(first), this.#changes);
    }
    for (const record of putRecords(this.#changes)) if (record.table === table) yield record;
  }

  async close(): Promise<void> {
    this.#file.close();
    await this.#release();
  }
}

interface Access {
  readonly isInUse: boolean;
  readonly lockFault: string | null;
}

/** Throws ConfigError if the files of a store are not there or cannot be read. */
function checkReadable(folder: string, path: string): void {
  const log = join(path, LOG_FILE);
  try {
    accessSync(join(path, DATA_FILE), constants.R_OK);
    if (existsSync(log)) accessSync(log, constants.R_OK);
  } catch (error) {
    const { code, name } = error as { readonly code?: string; readonly name?: string };
    // Deno's own error says which permission is missing.
    if (name === "NotCapable") throw error;
    if (code === "ENOTDIR") throw notFolder("store", folder);
    if (code !== "EACCES" && code !== "EPERM") {
      throw new ConfigError("store", folder, "a folder with a store");
    }
    const message = `store: ${JSON.stringify(folder)} cannot be read (${code})`;
    throw new ConfigError("store", folder, "a folder that can be read", message);
  }
}

/** How often the files of a store in use are read until they fit each other. */
const ATTEMPTS_MAX = 10;
/** The errors of a folder in which no lock can be made. */
const NO_LOCK_CODES: ReadonlySet<unknown> = new Set([
  "EROFS",
  "EACCES",
  "EPERM",
  "ENOSPC",
  "EDQUOT",
]);

/**
 * The code of the error with which no snapshot can be held; null: it can. LMDB would read without one, and the broker
 * of another user could replace the pages that are being read.
 */
function snapshotFault(path: string): string | null {
  try {
    accessSync(join(path, LOCK_FILE), constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    const { code } = error as { readonly code?: string };
    if (code === "ENOENT") return null;
    if (code === undefined || !NO_LOCK_CODES.has(code)) throw error;
    return code;
  }
}

/** Keeps a broker from using the pages of the current state again, until the returned function is called. */
async function holdSnapshot(path: string): Promise<() => Promise<void>> {
  const { open } = await lmdbModule();
  const database = open({ path, readOnly: true, ...openOptions });
  const transaction = database.useReadTransaction();
  return async () => {
    transaction.done();
    await database.close();
  };
}
