/** The remaining length: a Variable Byte Integer of one to four bytes, MQTT 5.0 §1.5.5. */

/** The encoded length of `value` in bytes; `value` is at most 268 435 455. */
export function remainingLengthBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4;
}

/**
 * Writes `value` at `at` in the shortest encoding [MQTT-1.5.5-1]; returns the position after it.
 */
export function writeRemainingLength(to: Uint8Array, at: number, value: number): number {
  while (value > 0x7f) {
    to[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  to[at++] = value;
  return at;
}

/**
 * The length of the frame that begins with `bytes[start, end)`, its header included; 0 while the
 * header is incomplete, -1 if the remaining length has a fifth byte.
 */
export function frameBytes(bytes: Uint8Array, start: number, end: number): number {
  let remaining = 0;
  for (let i = 1; i <= 4; i++) {
    if (start + i >= end) return 0;
    const byte = bytes[start + i]!;
    remaining += (byte & 0x7f) * 2 ** (7 * (i - 1));
    if (byte < 0x80) return 1 + i + remaining;
  }
  return -1;
}
