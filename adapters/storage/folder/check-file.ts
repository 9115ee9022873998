/** Checks the file of a store before LMDB opens it: LMDB trusts its file, and damage could end the process. */
import { existsSync, readFileSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../../core/mod.ts";
import { isAppliedKey } from "./journal-log.ts";
import type { LmdbEntry } from "./lmdb-file.ts";
import { DATA_FILE, IS_READABLE, LmdbFile } from "./lmdb-file.ts";

/** Throws ConfigError if the file of the store in `folder` is damaged. */
export function checkStoreFile(folder: string): void {
  const path = join(folder, DATA_FILE);
  if (!IS_READABLE || !existsSync(path)) return;
  discardUnbegun(path);
  for (const _ of entriesOf(path)) {
    // Only the walk matters: it checks the pages.
  }
}

/** Every entry of the file. Throws ConfigError after the last one if the file is damaged. */
export function* entriesOf(path: string): Generator<LmdbEntry> {
  const file = new LmdbFile(path);
  try {
    let readable = 0;
    for (const entry of file.entries()) {
      if (!isAppliedKey(entry.key)) readable++;
      yield entry;
    }
    const [fault] = file.faults;
    if (fault === undefined) return;
    const rescue =
      readable === 0
        ? "none of its records can be read"
        : `${readable} of its records can be read, and sansmq store export writes them`;
    const message = `store: ${path} is damaged: page ${fault.page} ${fault.what}; ${rescue}`;
    throw new ConfigError("store", path, "a folder with a sound store", message);
  } finally {
    file.close();
  }
}

/**
 * Empties a file that a crash of the machine left before its first transaction was synced: one of zeros, no longer than
 * the two meta pages that LMDB begins with.
 */
function discardUnbegun(path: string): void {
  const { size } = statSync(path);
  if (size === 0 || size > 2 * PAGE_BYTES_MAX) return;
  if (readFileSync(path).every((byte) => byte === 0)) truncateSync(path, 0);
}

const PAGE_BYTES_MAX = 65_536;
