/**
 * Reads the store in a folder, also a damaged one, and also while a broker writes to it: then it reads the state as
 * of the beginning. Changes nothing.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Table } from "../../../core/mod.ts";
import { ConfigError } from "../../../core/mod.ts";
import { lockFolder } from "./folder-lock.ts";
import type { PageFault } from "./lmdb-file.ts";
import { DATA_FILE, IS_READABLE, LmdbFile } from "./lmdb-file.ts";
import { lmdbModule, openOptions } from "./lmdb-module.ts";
import type { StoredRecord } from "./record-keys.ts";
import { LONG, recordOf } from "./record-keys.ts";

export class StoreReader {
  /** A process, such as a broker, uses the store. */
  readonly isInUse: boolean;
  readonly #file: LmdbFile;
  readonly #release: () => Promise<void>;

  private constructor(file: LmdbFile, isInUse: boolean, release: () => Promise<void>) {
    this.#file = file;
    this.isInUse = isInUse;
    this.#release = release;
  }

  /** Opens the store in `folder`. Until it is closed, no broker can be started on it. Rejects with ConfigError. */
  static async open(folder: string): Promise<StoreReader> {
    if (!IS_READABLE) throw new ConfigError("store", folder, "a store of a 64-bit machine");
    const path = resolve(folder);
    const file = join(path, DATA_FILE);
    if (!existsSync(file)) throw new ConfigError("store", folder, "a folder with a store");
    const unlock = await lockFolder(path).catch((error: unknown) => {
      const { code } = error as { readonly code?: unknown };
      // On a file system that is mounted read-only there is no broker either.
      if (code === "EROFS") return () => Promise.resolve();
      throw error;
    });
    const isInUse = unlock === null;
    const release = unlock ?? (await holdSnapshot(path));
    try {
      return new StoreReader(new LmdbFile(file, isInUse), isInUse, release);
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** The number of records if no page is damaged. */
  get count(): number {
    return this.#file.count;
  }
  /** The damaged pages that the last reading found: the first ones, and the number of all. */
  get faults(): readonly PageFault[] {
    return this.#file.faults;
  }
  get faultCount(): number {
    return this.#file.faultCount;
  }

  /** Every record, in the order of keys. */
  *records(): Generator<StoredRecord> {
    for (const { key, value } of this.#file.entries()) yield recordOf(key, value);
  }

  /** The records of one table, those with long keys last. */
  *recordsOf(table: Table): Generator<StoredRecord> {
    for (const first of [table, table | LONG]) {
      for (const { key, value } of this.#file.entries(first)) yield recordOf(key, value);
    }
  }

  async close(): Promise<void> {
    this.#file.close();
    await this.#release();
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
