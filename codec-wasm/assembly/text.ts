/** Byte ranges: hashing, comparison, and checks of topic names. */
import { FAULT_MALFORMED, FAULT_TOPIC_NAME } from "../../core/codec/layout";

/**
 * A seeded hash of `bytes`. Without knowing the seed, nobody can choose topic names that collide.
 * Two lanes of four bytes each, so that one multiplication does not wait for the other. Must equal
 * `hashBytes` in core/base/hash.ts.
 */
export function hashBytes(at: usize, bytes: u32, seed: u32): u32 {
  let a: u32 = seed ^ bytes;
  let b: u32 = seed;
  const end = at + bytes;
  for (; at + 8 <= end; at += 8) {
    a = (a ^ load<u32>(at)) * 0x9e3779b1;
    b = (b ^ load<u32>(at, 4)) * 0x85ebca6b;
    a ^= a >> 15;
    b ^= b >> 15;
  }
  if (at + 4 <= end) {
    a = (a ^ load<u32>(at)) * 0x9e3779b1;
    a ^= a >> 15;
  }
  if (bytes >= 4) {
    // The last four bytes; some of them may have been hashed already.
    b = (b ^ load<u32>(end - 4)) * 0x85ebca6b;
  } else {
    for (; at < end; at++) b = (b ^ load<u8>(at)) * 0x85ebca6b;
  }
  b ^= b >> 13;
  a = (a ^ rotl<u32>(b, 16)) * 0xc2b2ae35;
  return a ^ (a >> 16);
}

/** Whether two ranges of `bytes` bytes are equal. Reads nothing beyond them. */
export function isSame(a: usize, b: usize, bytes: u32): bool {
  if (bytes >= 8) {
    // Compares whole words; the last one overlaps the one before.
    const last = bytes - 8;
    for (let i: u32 = 0; i < last; i += 8) if (load<u64>(a + i) !== load<u64>(b + i)) return false;
    return load<u64>(a + last) === load<u64>(b + last);
  }
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(a + i) !== load<u8>(b + i)) return false;
  return true;
}

/** The fault of a topic name, as a code of core/codec/layout.ts; 0: none. */
export function nameFault(at: usize, bytes: u32, levelsMax: u32): i32 {
  const end = at + bytes;
  let levels: u32 = 1;
  let hasWildcard = false;
  let i = at;
  if (ASC_FEATURE_SIMD) {
    for (; i + 16 <= end; i += 16) {
      const block = v128.load(i);
      levels += popcnt<u32>(<u32>i8x16.bitmask(i8x16.eq(block, i8x16.splat(SLASH))));
      const wildcards = v128.or(
        i8x16.eq(block, i8x16.splat(PLUS)),
        i8x16.eq(block, i8x16.splat(HASH)),
      );
      if (v128.any_true(wildcards)) return FAULT_TOPIC_NAME;
    }
  }
  for (; i < end; i++) {
    const byte = load<u8>(i);
    if (byte === SLASH) levels++;
    else if (byte === PLUS || byte === HASH) hasWildcard = true;
  }
  if (hasWildcard || levels > levelsMax) return FAULT_TOPIC_NAME;
  return isUtf8(at, end) ? 0 : FAULT_MALFORMED;
}

/** Whether `[at, end)` is a valid MQTT string: well-formed, without surrogates and U+0000. */
export function isUtf8(at: usize, end: usize): bool {
  while (at < end) {
    if (ASC_FEATURE_SIMD) {
      // Sixteen bytes at a time while all are ASCII and not zero: as signed bytes they are greater
      // than 0.
      while (
        at + 16 <= end &&
        i8x16.bitmask(i8x16.gt_s(v128.load(at), i8x16.splat(0))) === 0xffff
      ) {
        at += 16;
      }
      if (at >= end) return true;
    }
    const first = load<u8>(at);
    if (first < 0x80) {
      if (first === 0) return false;
      at++;
      continue;
    }
    const bytes = sequenceBytes(at, end, first);
    if (bytes === 0) return false;
    at += bytes;
  }
  return true;
}

/** Length of the well-formed sequence of two to four bytes that begins at `at`, or 0. */
function sequenceBytes(at: usize, end: usize, first: u32): usize {
  const bytes: usize =
    first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (bytes === 0 || bytes > end - at) return 0;
  const second: u32 = load<u8>(at, 1);
  // The second byte rules out over-long forms, surrogates, and code points beyond U+10FFFF.
  const low: u32 = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high: u32 = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i: usize = 2; i < bytes; i++) if ((load<u8>(at + i) & 0xc0) !== 0x80) return 0;
  return bytes;
}

export const PLUS: u8 = 0x2b;
export const HASH: u8 = 0x23;
export const SLASH: u8 = 0x2f;
export const DOLLAR: u8 = 0x24;
