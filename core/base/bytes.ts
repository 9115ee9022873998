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

/** An own copy of `bytes[start, end)`. What hosts lend may be of a kind whose `slice` is a view. */
export function ownBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}

export const COPY_LOOP_BYTES_MAX = 96;
