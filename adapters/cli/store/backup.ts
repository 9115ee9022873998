/** `sansmq store backup` and `compact`: copy a store without its free pages, with the copy function of LMDB. */
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError } from "../../../core/mod.ts";
import { setTimeout } from "../../captured.ts";
import { allocateFiles } from "../../storage/folder/disk-room.ts";
import { DATA_FILE, LmdbFile } from "../../storage/folder/lmdb-file.ts";
import { lmdbModule, openOptions } from "../../storage/folder/lmdb-module.ts";
import { appliedIn } from "../../storage/folder/merged-records.ts";
import { NewStore, roomFailure } from "../../storage/folder/new-store.ts";
import { StoreReader } from "../../storage/folder/store-reader.ts";
import { Progress } from "./progress.ts";
import { toStdout } from "./stdout.ts";

/** Copies a store, also while a broker uses it: as of one moment. Rejects with ConfigError; then there is no copy. */
export async function backUpStore(folder: string, to: string): Promise<void> {
  const reader = await StoreReader.open(folder);
  try {
    reader.checkWritable();
    const count = checkPages(reader, folder, "backup: check");
    const store = await NewStore.open("to", to);
    await copy(folder, reader, store);
    await toStdout(`copied ${count} records to ${to}\n`);
  } finally {
    await reader.close();
  }
}

/** Replaces a store by a copy without its free pages. Rejects with ConfigError; then it is as it was. */
export async function compactStore(folder: string): Promise<void> {
  const path = resolve(folder);
  const reader = await StoreReader.open(folder);
  try {
    if (reader.isInUse) {
      throw new ConfigError("store", folder, "a folder that no other process uses");
    }
    reader.checkWritable();
    checkPages(reader, folder, "compact: check");
    const before = sizeOf(path);
    // The reader has the lock of the folder.
    await copy(folder, reader, await NewStore.inPlaceOf(path));
    await toStdout(`${before} bytes before, ${sizeOf(path)} bytes now\n`);
  } finally {
    await reader.close();
  }
}

/** LMDB trusts its file: it could end the process if a page is damaged. Returns the number of records. */
function checkPages(reader: StoreReader, folder: string, what: string): number {
  const progress = new Progress(what, reader.count);
  let count = 0;
  for (const _ of reader.records()) {
    progress.add();
    count++;
  }
  progress.end();
  if (reader.faultCount > 0) throw new ConfigError("store", folder, SOUND);
  return count;
}

async function copy(folder: string, reader: StoreReader, store: NewStore): Promise<void> {
  const path = resolve(folder);
  const { open } = await lmdbModule();
  // Beside a broker nothing is written. Without one, LMDB first puts the file in order as a broker would.
  const progress = new Progress("copy", sizeOf(path));
  let close = (): Promise<void> => Promise.resolve();
  try {
    // On a full disk LMDB would end the process.
    if (!reader.isInUse) allocated(path);
    const database = open({ path, readOnly: reader.isInUse, ...openOptions });
    close = () => database.close();
    let isDone = false;
    const done = database.backup(store.copyFolder, true).finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    while (!isDone) {
      await Promise.race([done, new Promise<void>((tick) => setTimeout(tick, 100))]);
      progress.set(sizeOf(store.copyFolder) & ~0xff);
    }
    await done;
    const copied = new LmdbFile(join(store.copyFolder, DATA_FILE));
    const applied = appliedIn(copied);
    copied.close();
    if (!reader.isInUse && copied.count !== reader.storedCount)
      throw new ConfigError("store", folder, SOUND);
    await store.finish(reader.batchesAfter(applied ?? 0));
  } catch (error) {
    // As long as what was written is there, so that the disk is as full as it was.
    const failure = store.failure(error, sizeOf(path));
    await store.discard();
    throw failure;
  } finally {
    progress.end();
    await close();
  }
}

/** Gives LMDB the room that it needs to open a store. */
function allocated(path: string): void {
  try {
    allocateFiles(path);
  } catch (error) {
    throw roomFailure(error, path);
  }
}

function sizeOf(folder: string): number {
  return statSync(join(folder, DATA_FILE), { throwIfNoEntry: false })?.size ?? 0;
}

const SOUND = "a folder with a sound store; sansmq store verify says what is damaged";
