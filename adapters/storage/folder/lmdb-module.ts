/** The package `lmdb`, which is an optional dependency. */
import { ConfigError } from "../../../core/mod.ts";

/** Rejects with ConfigError if the package is not installed, or with Deno's error if a permission is missing. */
export async function lmdbModule(): Promise<typeof import("lmdb")> {
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

/** The options of every LMDB file of ours. */
export const openOptions = {
  keyEncoding: "binary",
  encoding: "binary",
  // A batch is a transaction by itself. The promise of a turn would have nobody to handle its rejection.
  eventTurnBatching: false,
  // LMDB begins at the last transaction that was synced. A later one may be in the file, but it was not acknowledged,
  // and a disk may lose parts of it while the machine goes on. The types of lmdb leave this option out.
  safeRestore: true,
  // A value is read once: at the start, or before it is sent.
  cache: false,
  compression: false,
} as const;
