import { describe, expect, test } from "vitest";
import { parseLimits } from "../../../core/config.ts";
import type { Ingest } from "../../../core/ports.ts";
import { Reason } from "../../../core/reason.ts";
import { codecs } from "../../support/codecs.ts";
import { concat, connect, hex, pingreq, publish, subscribe } from "../../support/packets.ts";
import { packetVectors } from "../../vectors/packets.ts";

const limits = parseLimits();
const table = new Uint32Array(4 * 64);

/** The rows of a chunk: [offset, first byte, header bytes, remaining, topic name]. */
function rows(ingest: Ingest, chunk: Uint8Array, start = 0): unknown[] | number {
  const count = ingest.scan(chunk, start, table, limits.packetBytesMax);
  if (count < 0) return count;
  return Array.from({ length: count }, (_, i) => {
    const [offset, header, remaining, topic] = table.subarray(i * 4, i * 4 + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const name = topic === 0 ? null : ingest.topicName(topic);
    return [offset, header & 0xff, header >> 8, remaining, name];
  });
}

describe.each(codecs)("%s", (_name, make) => {
  test.each(packetVectors)("$name", ({ bytes, verdict }) => {
    const { ingest } = make({ ...limits, topicBytesMax: 300, topicLevelsMax: 20 });
    expect(ingest.scan(hex(bytes), 0, table, 5000)).toBe(verdict);
  });

  test("finds each frame, and the topic of each PUBLISH", () => {
    const long = publish("t/ä", "x".repeat(200), { qos: 1 });
    const chunk = concat(connect(), publish("t/ä", "x"), pingreq, long, publish("", "x"));
    expect(rows(make(limits).ingest, chunk)).toEqual([
      [0, 0x10, 2, 13, null],
      [15, 0x30, 2, 7, "t/ä"],
      [24, 0xc0, 2, 0, null],
      [26, 0x32, 3, 208, "t/ä"],
      [237, 0x30, 2, 3, null],
    ]);
  });

  test("a chunk cut at any byte yields its complete frames", () => {
    const packets = [publish("a", "x".repeat(150)), pingreq, publish("b/c", "")];
    const chunk = concat(...packets);
    const ingest = make(limits).ingest;
    for (let cut = 0; cut <= chunk.length; cut++) {
      let whole = 0;
      for (let end = 0; whole < 3 && end + packets[whole]!.length <= cut; whole++) {
        end += packets[whole]!.length;
      }
      expect(rows(ingest, chunk.subarray(0, cut))).toHaveLength(whole);
    }
  });

  test("never reads beyond the chunk", () => {
    const memory = concat(publish("a", "x"), publish("b", "y"));
    const chunk = memory.subarray(0, 8);
    expect(rows(make(limits).ingest, chunk)).toHaveLength(1);
  });

  test("fills the frame table, and continues where it stopped", () => {
    const chunk = concat(...Array.from({ length: 100 }, (_, n) => publish(`t${n % 3}`, "x")));
    const ingest = make(limits).ingest;
    expect(rows(ingest, chunk)).toHaveLength(64);
    expect(rows(ingest, chunk, 64 * 7)).toHaveLength(36);
  });

  describe("stops before an invalid frame, and returns the reason if the invalid frame is the first", () => {
    const wrong: Record<string, readonly [string, number]> = {
      "a remaining length of five bytes": ["30 ff ff ff ff", Reason.MalformedPacket],
      "a topic that runs past its frame": ["30 03 0002 61 00", Reason.MalformedPacket],
      "a PUBLISH of one byte": ["30 01 00", Reason.MalformedPacket],
      "ill-formed UTF-8": ["30 04 0002 c328", Reason.MalformedPacket],
      "a surrogate": ["30 05 0003 eda080", Reason.MalformedPacket],
      "U+0000": ["30 03 0001 00", Reason.MalformedPacket],
      "a wildcard": ["30 03 0001 2b", Reason.TopicNameInvalid],
      "a frame that announces too many bytes": ["20 ff ff ff 7f", Reason.PacketTooLarge],
    };
    test.each(Object.entries(wrong))("%s", (_, [bytes, reason]) => {
      const ingest = make(limits).ingest;
      expect(rows(ingest, hex(bytes))).toBe(-reason);
      expect(rows(ingest, concat(pingreq, hex(bytes)))).toHaveLength(1);
      expect(rows(ingest, concat(pingreq, hex(bytes)), 2)).toBe(-reason);
    });
  });

  test("accepts a frame of exactly the maximum length", () => {
    const packet = publish("a", new Uint8Array(93));
    const ingest = make(limits).ingest;
    expect(ingest.scan(packet, 0, table, 98)).toBe(1);
    expect(ingest.scan(packet, 0, table, 97)).toBe(-Reason.PacketTooLarge);
  });

  test("identifiers are dense, and the same name has the same identifier", () => {
    const ingest = make(limits).ingest;
    const chunk = concat(
      publish("a", ""),
      publish("b", ""),
      publish("a", ""),
      subscribe(1, ["a", 0]),
    );
    ingest.scan(chunk, 0, table, 1000);
    expect([3, 7, 11, 15].map((at) => table[at])).toEqual([1, 2, 1, 0]);
    expect(ingest.intern(new TextEncoder().encode("b"), 0, 1)).toBe(2);
    expect(ingest.intern(new TextEncoder().encode("+"), 0, 1)).toBe(0);
    expect(ingest.intern(new Uint8Array(0), 0, 0)).toBe(0);
  });

  test("names beyond the topic table's memory empty the table, but only at the first row of a call", () => {
    const ingest = make({ ...limits, topicTableBytesMax: 65_536 }).ingest;
    let calls = 0;
    let frames = 0;
    for (let n = 0; n < 200; n++) {
      const chunk = concat(
        ...Array.from({ length: 16 }, (_, i) => publish(`topic/${n}/${i}`, "x")),
      );
      for (let start = 0; start < chunk.length; calls++) {
        const before = ingest.topicEpoch;
        const count = ingest.scan(chunk, start, table, 1000);
        expect(count).toBeGreaterThan(0);
        expect(ingest.topicEpoch - before).toBeLessThanOrEqual(1);
        for (let row = 0; row < count; row++) {
          expect(ingest.topicName(table[row * 4 + 3]!)).toBe(`topic/${n}/${frames % 16}`);
          frames++;
        }
        const last = (count - 1) * 4;
        start = table[last]! + (table[last + 1]! >> 8) + table[last + 2]!;
      }
    }
    expect(frames).toBe(3200);
    expect(ingest.topicEpoch).toBeGreaterThan(5);
    expect(calls).toBeGreaterThan(200);
  });

  test("distinguishes a hundred thousand names", () => {
    const ingest = make({ ...limits, topicTableBytesMax: 2 ** 30 }).ingest;
    const encoder = new TextEncoder();
    const names = Array.from({ length: 100_000 }, (_, n) => encoder.encode(`site/${n % 97}/${n}`));
    const ids = names.map((name) => ingest.intern(name, 0, name.length));
    expect(new Set(ids).size).toBe(100_000);
    expect(names.every((name, n) => ingest.intern(name, 0, name.length) === ids[n])).toBe(true);
  });
});
