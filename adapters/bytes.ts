/** Helpers for bytes. */

/** A view of the memory of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** `first` in one byte, then `bytes`. */
export function prefixed(first: number, bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(1 + bytes.length);
  all[0] = first;
  all.set(bytes, 1);
  return all;
}
