/** A seeded hash of bytes. Without knowing the seed, nobody can choose topic names that collide. */

/**
 * The hash of `bytes[start, end)`, a u32. Two lanes of four bytes each, so that one multiplication
 * does not wait for the other. Must equal `hashBytes` in codec-wasm/assembly/text.ts.
 */
export function hashBytes(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let a = seed ^ (end - start);
  let b = seed;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    const high = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16);
    a = Math.imul(a ^ low ^ (bytes[at + 3]! << 24), 0x9e3779b1);
    b = Math.imul(b ^ high ^ (bytes[at + 7]! << 24), 0x85ebca6b);
    a ^= a >>> 15;
    b ^= b >>> 15;
  }
  if (at + 4 <= end) {
    const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    a = Math.imul(a ^ low ^ (bytes[at + 3]! << 24), 0x9e3779b1);
    a ^= a >>> 15;
  }
  if (end - start >= 4) {
    // The last four bytes; some of them may have been hashed already.
    const low = bytes[end - 4]! | (bytes[end - 3]! << 8) | (bytes[end - 2]! << 16);
    b = Math.imul(b ^ low ^ (bytes[end - 1]! << 24), 0x85ebca6b);
  } else {
    for (; at < end; at++) b = Math.imul(b ^ bytes[at]!, 0x85ebca6b);
  }
  b ^= b >>> 13;
  a = Math.imul(a ^ ((b << 16) | (b >>> 16)), 0xc2b2ae35);
  return (a ^ (a >>> 16)) >>> 0;
}
