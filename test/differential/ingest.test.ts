// Every Ingest against the reference: the same rows, reasons and names for any bytes.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseLimits } from "../../core/config.ts";
import type { Ingest } from "../../core/ports.ts";
import { codecs } from "../support/codecs.ts";
import { concat, hex, publish, subscribe } from "../support/packets.ts";
import { Random } from "../support/random.ts";
import { packetVectors } from "../vectors/packets.ts";
import { chunkOf } from "./bytes.ts";

const limits = parseLimits({ topicTableBytesMax: 65_536, topicBytesMax: 300, topicLevelsMax: 20 });
const frameBytesMax = 5000;
/** `DIFF_CASES=10000000 npx vitest run test/differential` for a long run. */
const cases = Number(process.env["DIFF_CASES"] ?? 20_000);
const from = Number(process.env["DIFF_FROM"] ?? 1);

/** All results of scans of the bytes, each continuing where the previous scan stopped. */
function verdict(ingest: Ingest, chunk: Uint8Array, rowsMax: number): unknown[] {
  const table = new Uint32Array(rowsMax * 4);
  const said: unknown[] = [];
  for (let start = 0; ; ) {
    const rows = ingest.scan(chunk, start, table, frameBytesMax);
    if (rows <= 0) return [...said, rows, start, ingest.topicEpoch];
    for (let row = 0; row < rows * 4; row += 4) {
      const topic = table[row + 3]!;
      const name = topic === 0 ? "" : ingest.topicName(topic);
      said.push(table[row], table[row + 1], table[row + 2], topic, name);
    }
    const last = (rows - 1) * 4;
    start = table[last]! + (table[last + 1]! >> 8) + table[last + 2]!;
  }
}

const [, ...others] = codecs;
const [[, reference]] = codecs as [(typeof codecs)[0]];

describe.each(others)("%s returns the rows, reasons and names of the reference", (_name, make) => {
  test("for every vector", () => {
    for (const { name, bytes } of packetVectors) {
      const expected = verdict(reference(limits).ingest, hex(bytes), 8);
      expect([name, ...verdict(make(limits).ingest, hex(bytes), 8)]).toEqual([name, ...expected]);
    }
  });

  test("for chunks cut at every byte", () => {
    const chunk = concat(
      publish("a/ä/𝄞", "x".repeat(200), { qos: 1 }),
      subscribe(1, ["t", 0]),
      publish("b", ""),
      publish(`${"deep/".repeat(15)}x`, "y".repeat(20)),
    );
    const [one, other] = [reference(limits).ingest, make(limits).ingest];
    for (let start = 0; start < chunk.length; start++) {
      for (let end = start; end <= chunk.length; end += 1 + (start % 3)) {
        const cut = chunk.subarray(start, end);
        expect(verdict(other, cut, 8)).toEqual(verdict(one, cut, 8));
      }
    }
  });

  test("for arbitrary bytes", () => {
    const [one, other] = [reference(limits).ingest, make(limits).ingest];
    const bytes = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(bytes, (chunk) => {
        expect(verdict(other, chunk, 16)).toEqual(verdict(one, chunk, 16));
      }),
      { numRuns: 2000 },
    );
  });

  test(`for ${cases} mutated chunks from seed ${from}`, () => {
    const random = new Random(from);
    let [one, other] = [reference(limits).ingest, make(limits).ingest];
    for (let n = 0; n < cases; n++) {
      // A new pair now and then, so that a failure does not depend on all earlier chunks.
      if (n % 50_000 === 49_999) [one, other] = [reference(limits).ingest, make(limits).ingest];
      const chunk = chunkOf(random);
      const rowsMax = random.pick([1, 3, 64]);
      const [expected, found] = [verdict(one, chunk, rowsMax), verdict(other, chunk, rowsMax)];
      // Compared without an assertion first: an assertion costs more than a scan.
      if (expected.length !== found.length || expected.some((value, i) => value !== found[i])) {
        expect({ n, chunk: Buffer.from(chunk).toString("hex"), said: found }).toEqual({
          said: expected,
        });
      }
    }
  }, 3_600_000);
});
