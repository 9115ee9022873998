/**
 * Finds out by a trial whether a file can grow. The free bytes of a file system say too little: quotas
 * and the largest size of a file refuse writes too.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";

/**
 * Writes `byteCount` zeros behind the end of a file and cuts them off again. Returns the error of the
 * system, or null if there is room. Nothing else may write to the file meanwhile.
 */
export function growthError(path: string, byteCount: number): Error | null {
  try {
    const file = openSync(path, "r+");
    try {
      grow(file, byteCount);
    } finally {
      closeSync(file);
    }
    return null;
  } catch (error) {
    return error as Error;
  }
}

function grow(file: number, byteCount: number): void {
  const { size } = fstatSync(file);
  const zeros = new Uint8Array(Math.min(byteCount, CHUNK_BYTES));
  try {
    // A full disk may take a part of a write.
    for (let left = byteCount; left > 0; ) {
      const length = Math.min(left, zeros.length);
      left -= writeSync(file, zeros, 0, length, size + byteCount - left);
    }
  } finally {
    ftruncateSync(file, size);
  }
}

const CHUNK_BYTES = 262_144;
