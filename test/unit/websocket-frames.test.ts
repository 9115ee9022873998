import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { binaryFrame, FrameReader } from "../../adapters/deno/frames.ts";
import { concat } from "../support/packets.ts";

/** A frame as a client sends it. */
function frame(first: number, payload: Uint8Array): Uint8Array {
  const bytes = binaryFrame(payload, 0);
  const headBytes = bytes.length - payload.length;
  bytes[0] = first;
  bytes[1]! |= 0x80;
  const mask = Uint8Array.of(0x12, 0x34, 0x56, 0x78);
  const masked = payload.map((byte, at) => byte ^ mask[at & 3]!);
  return concat(bytes.subarray(0, headBytes), mask, masked);
}

/** The head of a binary frame whose length field has 8 bytes. */
function long(...length: number[]): Uint8Array {
  return Uint8Array.of(0x82, 0xff, ...length, 1, 2, 3, 4);
}

/** The payloads of the frames, read in chunks of `size`. */
function unframed(reader: FrameReader, bytes: Uint8Array, size = bytes.length): Uint8Array {
  const taken: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.slice(at, at + size);
    taken.push(chunk.subarray(0, reader.unframe(chunk)));
  }
  return concat(...taken);
}

describe("the payload of a client's frames", () => {
  test("is complete for any split into frames and chunks, with pings between them", () => {
    const payload = fc.uint8Array({ maxLength: 70_000, size: "max" });
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 4 }), fc.integer({ min: 1 }), (parts, size) => {
        const ping = frame(0x89, Uint8Array.of(7));
        const frames = parts.flatMap((part, n) => {
          const isLast = n === parts.length - 1;
          return [frame((isLast ? 0x80 : 0) | (n === 0 ? 2 : 0), part), ping];
        });
        const reader = new FrameReader(1_000_000);
        expect(unframed(reader, concat(...frames), size)).toEqual(concat(...parts));
        expect([reader.closeCode, reader.ping]).toEqual([
          0,
          parts.length > 0 ? Uint8Array.of(7) : null,
        ]);
      }),
      { numRuns: 10 },
    );
  });

  const ten = new Uint8Array(10);
  test.each<[string, Uint8Array, number]>([
    ["a text frame", frame(0x81, ten), 1003],
    ["a frame with a reserved bit", frame(0xc2, ten), 1002],
    ["an unknown opcode", frame(0x83, ten), 1002],
    ["a frame that is not masked", binaryFrame(ten, 0), 1002],
    ["a continuation without a message", frame(0x80, ten), 1002],
    ["a message within a message", concat(frame(0x02, ten), frame(0x82, ten)), 1002],
    ["a ping in parts", frame(0x09, ten), 1002],
    ["a ping that is too long", frame(0x89, new Uint8Array(126)), 1002],
    ["a close with code 0", frame(0x88, Uint8Array.of(0, 0)), 1002],
    ["a close with a code that frames may not have", frame(0x88, Uint8Array.of(0x03, 0xee)), 1002],
    ["a close of one byte", frame(0x88, new Uint8Array(1)), 1002],
    ["a ping whose length takes 2 bytes", Uint8Array.of(0x89, 0xfe, 0, 1, 0, 0, 0, 0, 1), 1002],
    ["a close whose length takes 8 bytes", Uint8Array.of(0x88, 0xff, ...ten, 0, 0), 1002],
    ["a close reason that is not UTF-8", frame(0x88, Uint8Array.of(0x03, 0xe8, 0xc3)), 1007],
    ["a message beyond the limit", concat(frame(0x02, ten), frame(0x80, new Uint8Array(91))), 1009],
    ["a length with its top bit set", long(0x80, 0, 0, 0, 0, 0, 0, 10), 1009],
    ["a length beyond the largest exact integer", long(0, 0x20, 0, 0, 0, 0, 0, 1), 1009],
    ["the greatest length", long(255, 255, 255, 255, 255, 255, 255, 255), 1009],
  ])("%s ends the connection", (_, bytes, code) => {
    const reader = new FrameReader(100);
    unframed(reader, concat(bytes, frame(0x82, ten)), 1);
    expect([reader.isBroken, reader.closeCode]).toEqual([true, code]);
  });

  test("accepts a length in more bytes than necessary, as `ws` does", () => {
    for (const head of [
      [0x82, 0xfe, 0, 1],
      [0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1],
    ]) {
      const reader = new FrameReader(100);
      expect(unframed(reader, Uint8Array.of(...head, 0, 0, 0, 0, 7), 1)).toEqual(Uint8Array.of(7));
      expect(reader.closeCode).toBe(0);
    }
  });

  test("answers a close with its own code, or 1000", () => {
    for (const [payload, code] of [
      [[0x03, 0xe9], 1001],
      [[0x0f, 0xa0], 4000],
      [[0x03, 0xe8, 0xc3, 0xa9], 1000],
      [[], 1000],
    ] as const) {
      const reader = new FrameReader(100);
      reader.unframe(frame(0x88, Uint8Array.from(payload)));
      expect([reader.isBroken, reader.closeCode]).toEqual([false, code]);
    }
  });
});
