/**
 * Tells why a transaction of LMDB failed, and whether it may be tried again.
 *
 * LMDB writes the pages of a transaction, makes it visible, and syncs. If it could not write the pages,
 * nothing has happened. If the sync failed, the transaction is visible, but nobody knows which of its pages
 * are on the disk, and a later sync would succeed without them.
 */
import { constants as system } from "node:os";
import { isStoreFull } from "../store-full.ts";
import { growthError } from "./disk-room.ts";

/**
 * The cause of the error that LMDB rejected a transaction of `byteCount` bytes of records with. Of code ENOSPC, EDQUOT or
 * EFBIG: the disk is full, and the same transaction may be tried again. `isVisible`: readers see the transaction.
 */
export async function commitFailure(
  error: unknown,
  isVisible: boolean,
  file: string,
  byteCount: number,
): Promise<unknown> {
  const { commitError } = error as { readonly commitError?: Promise<unknown> };
  const cause = (await commitError?.catch((reason: unknown) => reason)) ?? error;
  return isVisible ? cause : (fullError(cause, file, byteCount) ?? cause);
}

/**
 * The error of code ENOSPC, EDQUOT or EFBIG if the disk had no room for `byteCount` bytes of records in a file of LMDB;
 * null if `cause` is another one.
 */
export function fullError(cause: unknown, file: string, byteCount: number): FullError | null {
  if (isStoreFull(cause)) return cause as FullError;
  const code = FULL_CODES.get((cause as { readonly code?: unknown }).code);
  if (code !== undefined) {
    return Object.assign(new Error(`${code}: ${String(cause)}`, { cause }), { code });
  }
  // LMDB reports a write that the system cut short as an error of input and output.
  const full = growthError(file, byteCount * 2 + GROWTH_BYTES_MAX);
  return isStoreFull(full) ? (full as FullError) : null;
}

export type FullError = Error & { readonly code: string };

/** The error of a file that still has no room for `byteCount` bytes of records; null if it may have room. */
export function roomError(file: string, byteCount: number): Error | null {
  const error = growthError(file, byteCount + GROWTH_BYTES_MIN);
  return isStoreFull(error) ? error : null;
}

/** ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL. */
const WINDOWS_CODES: readonly (readonly [number, string])[] = [
  [39, "ENOSPC"],
  [112, "ENOSPC"],
];
/** The codes of LMDB and of the system for a disk without room. */
const FULL_CODES: ReadonlyMap<unknown, string> = new Map([
  [system.errno.ENOSPC, "ENOSPC"],
  [system.errno.EDQUOT, "EDQUOT"],
  [system.errno.EFBIG, "EFBIG"],
  // MDB_MAP_FULL: the map cannot grow.
  [-30_792, "ENOSPC"],
  ...(process.platform === "win32" ? WINDOWS_CODES : []),
]);
/** Pages that a transaction writes in addition to its records. */
const GROWTH_BYTES_MIN = 65_536;
/** More than any transaction needs in addition. */
const GROWTH_BYTES_MAX = 1_048_576;
