/**
 * Room on the disk for the files of LMDB. Whether a file can grow is found out by a trial, because the
 * free bytes of a file system say too little: quotas and the largest size of a file refuse writes too.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DATA_FILE, LOCK_FILE } from "./lmdb-file.ts";

/**
 * Writes `byteCount` zeros behind the end of a file and cuts them off again. Returns the error of the
 * system, or null if there is room. Nothing else may write to the file meanwhile.
 */
export function growthError(path: string, byteCount: number): Error | null {
  try {
    withFile(path, (file) => grow(file, byteCount));
    return null;
  } catch (error) {
    return error as Error;
  }
}

/**
 * Makes sure that LMDB can open its files in a folder: on a full disk it ends the process. Call it before
 * LMDB opens the folder. Throws the error of the system if there is no room.
 */
export function allocateFiles(folder: string): void {
  // LMDB maps its lock file into memory, and an access to a byte without a place on the disk is fatal.
  withFile(join(folder, LOCK_FILE), (file) => {
    const { size, blocks } = fstatSync(file);
    const isAllocated = size >= LOCK_BYTES && blocks * BLOCK_BYTES >= size;
    // LMDB begins the file anew in any case, because no other process has it.
    if (!isAllocated) writeZeros(file, 0, Math.max(size, LOCK_BYTES));
  });
  // LMDB does not notice that a new file took only a part of its first pages.
  withFile(join(folder, DATA_FILE), (file) => {
    if (fstatSync(file).size === 0) grow(file, FIRST_BYTES);
  });
}

function withFile(path: string, use: (file: number) => void): void {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    use(file);
  } finally {
    closeSync(file);
  }
}

function grow(file: number, byteCount: number): void {
  const { size } = fstatSync(file);
  try {
    writeZeros(file, size, size + byteCount);
  } finally {
    ftruncateSync(file, size);
  }
}

/** Writes zeros from `start` to `end`. A full disk may take a part of a write before it refuses the next. */
function writeZeros(file: number, start: number, end: number): void {
  const zeros = new Uint8Array(Math.min(end - start, CHUNK_BYTES));
  for (let at = start; at < end; ) {
    at += writeSync(file, zeros, 0, Math.min(end - at, zeros.length), at);
  }
}

const CHUNK_BYTES = 262_144;
/** More than LMDB needs for its readers. */
const LOCK_BYTES = 16_384;
/** The first pages of a new file, with the largest pages of any system. */
const FIRST_BYTES = 131_072;
/** The unit of `blocks`, whatever the file system. */
const BLOCK_BYTES = 512;
