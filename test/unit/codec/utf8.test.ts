import { expect, test } from "vitest";
import { decodeUtf8, encodeUtf8, isUtf8 } from "../../../core/codec/utf8.ts";
import { Random } from "../../support/random.ts";

test("agrees with the platform on every short sequence of the relevant bytes", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const edges = [
    0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
  ];
  const bytes = [...edges, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff];
  const check = (sequence: number[]): void => {
    const input = Uint8Array.from(sequence);
    let expected: string | null;
    try {
      expected = strict.decode(input);
    } catch {
      expected = null;
    }
    if (expected?.includes("\0")) expected = null;
    expect([sequence, isUtf8(input, 0, input.length)]).toEqual([sequence, expected !== null]);
    if (expected !== null) {
      expect(decodeUtf8(input, 0, input.length)).toBe(expected);
      expect(encodeUtf8(expected)).toEqual(input);
    }
  };
  for (const a of bytes) {
    check([a]);
    for (const b of bytes) check([a, b]);
  }
  const random = new Random(3);
  for (let n = 0; n < 20_000; n++) {
    check(Array.from({ length: 3 + random.below(3) }, () => random.pick(bytes)));
  }
});

test("every character is encoded and decoded correctly in texts of any length", () => {
  for (let point = 1; point <= 0x10ffff; point += point < 0x3000 ? 1 : 97) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const text = String.fromCodePoint(point);
    const bytes = encodeUtf8(text);
    expect(decodeUtf8(bytes, 0, bytes.length)).toBe(text);
  }
  const long = "aé漢𝄞".repeat(16_000);
  const bytes = encodeUtf8(long);
  expect(decodeUtf8(bytes, 0, bytes.length)).toBe(long);
});

test("a lone surrogate is encoded as U+FFFD", () => {
  expect(encodeUtf8("\ud800")).toEqual(Uint8Array.of(0xef, 0xbf, 0xbd));
});
