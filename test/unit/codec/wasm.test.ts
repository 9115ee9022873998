// Properties of the WebAssembly module: its memory, its windows, and the data shared with the TypeScript side.
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createCodec } from "../../../codec-wasm/mod.ts";
import { hashBytes } from "../../../core/base/hash.ts";
import * as layout from "../../../core/codec/layout.ts";
import { encodeUtf8 } from "../../../core/codec/utf8.ts";
import { parseLimits } from "../../../core/config.ts";
import { Added } from "../../../core/ports.ts";
import { Reason } from "../../../core/reason.ts";
import { concat, publish } from "../../support/packets.ts";
import { Random } from "../../support/random.ts";

const limits = parseLimits({ topicBytesMax: 65_535, packetBytesMax: 4_000_000 });
const wasm = (given: Record<string, number> = {}) =>
  createCodec("wasm", parseLimits({ topicBytesMax: 65_535, ...given }), 7)!;

test("the module's reason codes are those of the core", () => {
  expect(layout.FAULT_MALFORMED).toBe(Reason.MalformedPacket);
  expect(layout.FAULT_TOO_LARGE).toBe(Reason.PacketTooLarge);
  expect(layout.FAULT_TOPIC_NAME).toBe(Reason.TopicNameInvalid);
  expect(layout.ADDED_NEW).toBe(Added.New);
  expect(layout.ADDED_REPLACED).toBe(Added.Replaced);
  expect(layout.ADDED_NO_MEMORY).toBe(Added.NoMemory);
});

test("reports which build runs, and that the host supports SIMD", () => {
  expect(wasm().ingest.name).toBe("wasm-simd");
  expect(createCodec("auto", limits, 1, "wasm-plain")!.ingest.name).toBe("wasm-plain");
  expect(createCodec("ts", limits, 1)!.ingest.name).toBe("ts");
});

test("runs without the module on a host that forbids WebAssembly, for example by a page's policy", () => {
  const compile = vi.spyOn(WebAssembly, "Module").mockImplementation(
    class {
      constructor() {
        throw new WebAssembly.CompileError("forbidden");
      }
    } as never,
  );
  onTestFinished(() => compile.mockRestore());
  expect(createCodec("wasm", limits, 1)).toBeNull();
  expect(createCodec("auto", limits, 1)!.ingest.name).toBe("ts");
  expect(compile).toHaveBeenCalledTimes(2);
});

test("a short chunk in TypeScript and a long one in the module find the same ids", () => {
  const { ingest } = createCodec("auto", limits, 7)!;
  const table = new Uint32Array(4096);
  const random = new Random(3);
  const names = Array.from({ length: 300 }, (_, n) => `${"x".repeat(random.below(40))}/${n}/ä`);
  const idOf = new Map<string, number>();
  for (let round = 0; round < 200; round++) {
    const chosen = Array.from({ length: 1 + random.below(20) }, () => random.pick(names));
    const count = ingest.scan(concat(...chosen.map((name) => publish(name, ""))), 0, table, 10_000);
    expect(count).toBe(chosen.length);
    for (const [row, name] of chosen.entries()) {
      const id = table[row * 4 + 3]!;
      expect(idOf.get(name) ?? id).toBe(id);
      idOf.set(name, id);
      expect(ingest.topicName(id)).toBe(name);
    }
  }
  expect(new Set(idOf.values()).size).toBe(idOf.size);
});

describe("a chunk longer than the window", () => {
  const table = new Uint32Array(4096);

  test("is scanned to its end, wherever names and headers are cut", () => {
    for (const fill of [32_700, 32_760, 32_766, 32_767, 32_768, 131_060, 131_070]) {
      const { ingest } = wasm();
      const packets = [publish("a", new Uint8Array(fill)), publish("name/of/some/length", "x")];
      const chunk = concat(...packets, ...packets);
      const offsets: number[] = [];
      for (let start = 0; start < chunk.length; ) {
        const count = ingest.scan(chunk, start, table, 4_000_000);
        expect(count).toBeGreaterThan(0);
        for (let row = 0; row < count * 4; row += 4) offsets.push(table[row]!);
        const last = (count - 1) * 4;
        start = table[last]! + (table[last + 1]! >> 8) + table[last + 2]!;
      }
      const [a, b] = packets.map((packet) => packet.length) as [number, number];
      expect(offsets).toEqual([0, a, a + b, a + b + a]);
    }
  });

  test("holds the longest name", () => {
    const { ingest } = wasm({ topicLevelsMax: 65_535 });
    const name = "/".repeat(65_534);
    const chunk = concat(publish("a", new Uint8Array(20_000)), publish(name, ""));
    expect(ingest.scan(chunk, 0, table, 4_000_000)).toBe(1);
    expect(ingest.scan(chunk, 20_000 + 7, table, 4_000_000)).toBe(1);
    expect(ingest.topicName(table[3]!)).toBe(name);
  });
});

test("the deepest topic is matched by the deepest filter", () => {
  const codec = wasm({ topicLevelsMax: 65_535 });
  const index = codec.topics.create(limits);
  const plus = encodeUtf8(`${"+/".repeat(32_766)}+`);
  index.add(plus, 1, 0);
  index.add(encodeUtf8("#"), 2, 0);
  const name = encodeUtf8("/".repeat(32_766));
  const out = new Uint32Array(8);
  expect(index.match(codec.ingest.intern(name, 0, name.length), out)).toBe(2);
  expect(index.remove(plus, 1)).toBe(true);
});

describe("memory", () => {
  test("that runs out refuses the requested filter, and changes nothing else", () => {
    const codec = wasm({ codecBytesMax: 4 * 1024 * 1024 });
    const index = codec.topics.create(limits);
    const filter = (n: number): Uint8Array => encodeUtf8(`site/${n % 10}/+/device-${n}/state`);
    let count = 0;
    while (index.add(filter(count), 1, 0) === Added.New) count++;
    expect(count).toBeGreaterThan(5000);
    expect(index.add(filter(count), 1, 0)).toBe(Added.NoMemory);
    expect(index.size).toBe(count);
    const out = new Uint32Array(8);
    const at = (n: number): number => {
      const name = encodeUtf8(`site/${n % 10}/x/device-${n}/state`);
      return index.match(codec.ingest.intern(name, 0, name.length), out);
    };
    expect([at(0), at(count - 1), at(count)]).toEqual([1, 1, 0]);
    // Released memory is reused.
    for (let n = 0; n < 100; n++) expect(index.remove(filter(n), 1)).toBe(true);
    for (let n = 0; n < 100; n++) expect(index.add(filter(n), 1, 0)).toBe(Added.New);
    expect(codec.memoryBytes().total).toBeLessThanOrEqual(4 * 1024 * 1024);
  });

  test("that runs out empties the topic table instead of refusing a name", () => {
    const codec = wasm({ codecBytesMax: 2 * 1024 * 1024, topicTableBytesMax: 2 ** 30 });
    const table = new Uint32Array(64);
    for (let n = 0; n < 60_000; n++) {
      const chunk = publish(`some/longer/name/${n}`, "");
      expect(codec.ingest.scan(chunk, 0, table, 1000)).toBe(1);
      expect(codec.ingest.topicName(table[3]!)).toBe(`some/longer/name/${n}`);
    }
    expect(codec.ingest.topicEpoch).toBeGreaterThan(0);
    expect(codec.memoryBytes().total).toBeLessThanOrEqual(2 * 1024 * 1024);
  });

  test("is released when all filters are removed", () => {
    const codec = wasm();
    const index = codec.topics.create(limits);
    const before = codec.memoryBytes().used;
    let held = 0;
    for (let round = 0; round < 6; round++) {
      for (let n = 0; n < 20_000; n++) index.add(encodeUtf8(`a/${n % 100}/b${n}/c`), n % 7, 1);
      for (let n = 0; n < 20_000; n++) index.remove(encodeUtf8(`a/${n % 100}/b${n}/c`), n % 7);
      if (round === 0) held = codec.memoryBytes().total;
    }
    expect(index.size).toBe(0);
    // Hash buckets do not shrink.
    expect(codec.memoryBytes().used - before).toBeLessThan(2 * 32_768 * 4);
    expect(codec.memoryBytes().total).toBe(held);
  });

  test("that has run out still returns all rows of a match", () => {
    const codec = wasm({ codecBytesMax: 8 * 1024 * 1024, topicTableBytesMax: 65_536 });
    const index = codec.topics.create(limits);
    const filters = ["a/b", "+/b", "a/#", "#"].map((filter) => encodeUtf8(filter));
    let count = 0;
    while (index.add(filters[count % 4]!, count, count % 3) === Added.New) count++;
    expect(count).toBeGreaterThan(200_000);
    const topic = codec.ingest.intern(encodeUtf8("a/b"), 0, 3);
    const out = new Uint32Array(count * 2);
    expect(index.match(topic, out)).toBe(count);
    const seen = new Uint8Array(count);
    for (let row = 0; row < count * 2; row += 2) {
      seen[out[row]!]!++;
      expect(out[row + 1]).toBe(out[row]! % 3);
    }
    expect(seen.every((times) => times === 1)).toBe(true);
  });

  test("of a million filters of about 40 bytes is below 120 bytes each", {
    timeout: 120_000,
  }, () => {
    const codec = wasm();
    const index = codec.topics.create(limits);
    const before = codec.memoryBytes().total;
    let bytes = 0;
    for (let n = 0; n < 1_000_000; n++) {
      const site = `site-${n % 50}/building-${(n * 7) % 200}`;
      const filter = encodeUtf8(`${site}/${n % 10 === 0 ? "+" : `floor-${n % 9}`}/dev-${n}/temp`);
      bytes += filter.length;
      index.add(filter, n % 1000, 1);
    }
    expect(index.size).toBe(1_000_000);
    expect(bytes / 1_000_000).toBeGreaterThan(40);
    expect((codec.memoryBytes().total - before) / 1_000_000).toBeLessThan(120);
  });

  test("released in one size is reused in another", () => {
    const codec = wasm({ codecBytesMax: 4 * 1024 * 1024, topicTableBytesMax: 65_536 });
    const index = codec.topics.create(limits);
    const filter = (n: number, bytes: number): Uint8Array => encodeUtf8(`${n}/`.padEnd(bytes, "x"));
    const fill = (bytes: number): number => {
      let count = 0;
      while (index.add(filter(count, bytes), 1, 0) === Added.New) count++;
      for (let n = 0; n < count; n++) expect(index.remove(filter(n, bytes), 1)).toBe(true);
      return count;
    };
    const first = [60, 40, 3000, 20].map(fill);
    const again = [60, 40, 3000, 20].map(fill);
    for (const [n, count] of again.entries()) expect(count).toBeGreaterThan(first[n]! * 0.8);
    expect(first[1]).toBeGreaterThan(first[0]!);
    expect(first[3]).toBeGreaterThan(first[0]!);
  });

  test("does not grow while filters of every length come and go", () => {
    const codec = wasm({ topicTableBytesMax: 65_536 });
    const index = codec.topics.create(limits);
    const held: number[] = [];
    for (let round = 0; round < 30; round++) {
      const filters = Array.from({ length: 4000 }, (_, n) =>
        encodeUtf8(`${n}/`.padEnd(20 + round * 16, "x")),
      );
      for (const each of filters) index.add(each, 1, 0);
      for (const each of filters) index.remove(each, 1);
      held.push(codec.memoryBytes().total);
    }
    // The last round needs 2.5 MB; all rounds would need 35 MB if no memory were reused.
    expect(held.at(-1)).toBeLessThan(8 * 1024 * 1024);
  });

  test("that has grown is used at once by matches and names", () => {
    const codec = wasm({ topicTableBytesMax: 2 ** 28 });
    const index = codec.topics.create(limits);
    const out = new Uint32Array(2);
    let held = codec.memoryBytes().total;
    let growths = 0;
    for (let n = 0; n < 60_000; n++) {
      index.add(encodeUtf8(`grow/${n}`), n, 2);
      const name = encodeUtf8(`grow/${n}`);
      const topic = codec.ingest.intern(name, 0, name.length);
      expect(index.match(topic, out)).toBe(1);
      expect(out[0]).toBe(n);
      if (codec.memoryBytes().total > held) growths++;
      held = codec.memoryBytes().total;
    }
    expect(growths).toBeGreaterThan(3);
  });
});

test("counts all matching subscribers, and writes those that fit", () => {
  const codec = wasm();
  const index = codec.topics.create(limits);
  for (let n = 1; n <= 3000; n++) index.add(encodeUtf8(n % 2 === 0 ? "a" : "#"), n, 1);
  const topic = codec.ingest.intern(encodeUtf8("a"), 0, 1);
  const few = new Uint32Array(20);
  expect(index.match(topic, few)).toBe(3000);
  const all = new Uint32Array(6000);
  expect(index.match(topic, all)).toBe(3000);
  expect(new Set(all.filter((_, i) => i % 2 === 0)).size).toBe(3000);
  expect([...few.subarray(0, 20)]).toEqual([...all.subarray(0, 20)]);
});

test("the hash is the same on both sides, and differs with the seed", () => {
  const bytes = encodeUtf8("some/topic/of/a/device");
  const hashes = new Set(
    Array.from({ length: 100 }, (_, seed) => hashBytes(bytes, 0, bytes.length, seed * 7919)),
  );
  expect(hashes.size).toBe(100);
  // Each side finds the names that the other side has interned, at every length.
  const { ingest } = createCodec("auto", limits, 0xdead_beef)!;
  const table = new Uint32Array(64);
  for (let length = 1; length < 300; length++) {
    const name = encodeUtf8("n".repeat(length));
    const id = ingest.intern(name, 0, name.length);
    const long = concat(publish("n".repeat(length), new Uint8Array(600)));
    expect(ingest.scan(long, 0, table, 10_000)).toBe(1);
    expect(table[3]).toBe(id);
  }
});
