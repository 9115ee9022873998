/** Byte copies. */

/**
 * Copies `from[start, end)` to `to[at, …)`. A loop for short runs: a view to hand to `set` costs more
 * than the bytes do, up to about a hundred of them.
 */
export function copyBytes(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): void {
  if (end - start > COPY_LOOP_BYTES_MAX) {
    to.set(from.subarray(start, end), at);
    return;
  }
  for (let i = start; i < end; i++) to[at++] = from[i]!;
}

/**
 * As `copyBytes`, by words: half its time from twelve bytes on, and less than that of a view to hand to
 * `set` up to about a hundred.
 */
export function copyWords(
  from: DataView,
  start: number,
  end: number,
  to: DataView,
  at: number,
): void {
  for (; start + 8 <= end; start += 8, at += 8) {
    to.setUint32(at, from.getUint32(start, true), true);
    to.setUint32(at + 4, from.getUint32(start + 4, true), true);
  }
  if (start + 4 <= end) {
    to.setUint32(at, from.getUint32(start, true), true);
    start += 4;
    at += 4;
  }
  for (; start < end; start++, at++) to.setUint8(at, from.getUint8(start));
}

/** Bytes, and the same memory by words where that is worth a view. */
export interface WordBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView | null;
}

/** The memory of `bytes`, to be read and written by words. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** An own copy of `bytes[start, end)`. What hosts lend may be of a kind whose `slice` is a view. */
export function ownBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}

export const COPY_LOOP_BYTES_MAX = 96;
