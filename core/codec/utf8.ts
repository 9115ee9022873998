/** UTF-8 strings as MQTT requires them: well-formed, without surrogates and without U+0000. */

/**
 * Whether `bytes[start, end)` is a valid MQTT string [MQTT311-1.5.3-1] [MQTT311-1.5.3-2]
 * [MQTT-1.5.4-1] [MQTT-1.5.4-2]. With `mayHaveNull`, whether it is UTF-8, U+0000 included.
 */
export function isUtf8(
  bytes: Uint8Array,
  start: number,
  end: number,
  mayHaveNull = false,
): boolean {
  for (let at = start; at < end; ) {
    const first = bytes[at]!;
    if (first < 0x80) {
      if (first === 0 && !mayHaveNull) return false;
      at++;
      continue;
    }
    const length = sequenceBytes(bytes, at, end);
    if (length === 0) return false;
    at += length;
  }
  return true;
}

/** The text of `bytes[start, end)`, which must be well-formed. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  // In pieces, because the length of an argument list is limited.
  const units: number[] = [];
  for (let at = start; at < end; ) {
    const first = bytes[at]!;
    if (first < 0x80) {
      units.push(first);
      at++;
    } else if (first < 0xe0) {
      units.push(((first & 0x1f) << 6) | (bytes[at + 1]! & 0x3f));
      at += 2;
    } else if (first < 0xf0) {
      units.push(((first & 0xf) << 12) | ((bytes[at + 1]! & 0x3f) << 6) | (bytes[at + 2]! & 0x3f));
      at += 3;
    } else {
      const high = ((first & 0x7) << 18) | ((bytes[at + 1]! & 0x3f) << 12);
      const point = high | ((bytes[at + 2]! & 0x3f) << 6) | (bytes[at + 3]! & 0x3f);
      units.push(0xd7c0 + (point >> 10), 0xdc00 | (point & 0x3ff));
      at += 4;
    }
    if (units.length >= UNITS_MAX) {
      text += String.fromCharCode(...units);
      units.length = 0;
    }
  }
  return text + String.fromCharCode(...units);
}

/** The UTF-8 bytes of a text. A lone surrogate becomes U+FFFD, as in TextEncoder. */
export function encodeUtf8(text: string): Uint8Array {
  // A UTF-16 unit needs at most three bytes; a surrogate pair needs four.
  const bytes = new Uint8Array(text.length * 3);
  let at = 0;
  for (const character of text) {
    const codePoint = character.codePointAt(0)!;
    const point = codePoint >= 0xd800 && codePoint <= 0xdfff ? 0xfffd : codePoint;
    if (point < 0x80) {
      bytes[at++] = point;
      continue;
    }
    if (point < 0x800) {
      bytes[at++] = 0xc0 | (point >> 6);
    } else {
      if (point < 0x1_0000) {
        bytes[at++] = 0xe0 | (point >> 12);
      } else {
        bytes[at++] = 0xf0 | (point >> 18);
        bytes[at++] = 0x80 | ((point >> 12) & 0x3f);
      }
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
    }
    bytes[at++] = 0x80 | (point & 0x3f);
  }
  return bytes.slice(0, at);
}

/** The length of the well-formed sequence of two to four bytes that begins at `at`, or 0. */
function sequenceBytes(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]!;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > end) return 0;
  const second = bytes[at + 1]!;
  // The second byte rules out over-long forms, surrogates, and code points beyond U+10FFFF.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i = 2; i < length; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;
  return length;
}

const UNITS_MAX = 4096;
