/**
 * The checksum behind a value that is stored on pages of its own. LMDB writes a header to the first of these pages only, so
 * that only the checksum tells whether the others are the value's.
 */
import { hashBytes } from "../../../core/mod.ts";
import { viewOf } from "../../bytes.ts";

/** The stored form of a value: with a checksum behind it if key and value are long together. */
export function withChecksum(key: Uint8Array, value: Uint8Array): Uint8Array {
  const { length } = value;
  if (key.length + length <= UNCHECKED_BYTES_MAX) return value;
  const bytes = new Uint8Array(length + CHECKSUM_BYTES);
  bytes.set(value);
  viewOf(bytes).setUint32(length, checksum(key, value, length));
  return bytes;
}

/** A view of the value in its stored form; null: it is damaged. */
export function withoutChecksum(key: Uint8Array, stored: Uint8Array): Uint8Array | null {
  if (key.length + stored.length <= UNCHECKED_BYTES_MAX) return stored;
  const length = stored.length - CHECKSUM_BYTES;
  if (key.length + length <= UNCHECKED_BYTES_MAX) return null;
  const isWhole = viewOf(stored).getUint32(length) === checksum(key, stored, length);
  return isWhole ? stored.subarray(0, length) : null;
}

/** With the key in it: the value of another key is damage too. */
function checksum(key: Uint8Array, bytes: Uint8Array, length: number): number {
  return hashBytes(bytes, 0, length, hashBytes(key, 0, key.length, 0));
}

/** LMDB keeps key and value in the page of the key if they have less than half a page. */
const UNCHECKED_BYTES_MAX = 1024;
const CHECKSUM_BYTES = 4;
