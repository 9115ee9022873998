/** Bytes to rows and topic ids, by length of the chunk; and interning of new names. */
import type { Ingest } from "../../core/mod.ts";
import { publishPacket } from "../lib/client.ts";
import type { MicroCase } from "./case.ts";
import { codecs } from "./codecs.ts";

const TOPICS = 10_000;
const payload = Buffer.alloc(16);
const topics = Array.from({ length: TOPICS }, (_, n) => `d/${(n * 7919) % 97}/${n}/temp`);

/** Chunks that end with the packet that reaches `chunkBytes`, and their number of packets. */
function chunksOf(chunkBytes: number): { chunks: Uint8Array[]; frames: number } {
  const chunks: Uint8Array[] = [];
  let frames = 0;
  let total = 0;
  while (total < 1_000_000) {
    const packets: Buffer[] = [];
    let bytes = 0;
    while (bytes < chunkBytes) {
      // Scattered over the topics, like the packets of many clients.
      const packet = publishPacket(topics[Math.imul(frames, 40_503) % TOPICS]!, payload, 0, 0);
      packets.push(packet);
      bytes += packet.length;
      frames++;
    }
    chunks.push(new Uint8Array(Buffer.concat(packets)));
    total += bytes;
  }
  return { chunks, frames };
}

const table = new Uint32Array(4096);

/** Scans a chunk like a connection does, until no frame is left. */
function scanAll(ingest: Ingest, chunk: Uint8Array): number {
  let sum = 0;
  for (let start = 0; start < chunk.length; ) {
    const rows = ingest.scan(chunk, start, table, 1_000_000);
    if (rows <= 0) break;
    const last = (rows - 1) * 4;
    start = table[last]! + (table[last + 1]! >> 8) + table[last + 2]!;
    sum += table[last + 3]!;
  }
  return sum;
}

const scans: MicroCase[] = [32, 64, 128, 256, 1024, 4096, 16_384, 65_536].flatMap((chunkBytes) => {
  const { chunks, frames } = chunksOf(chunkBytes);
  return codecs.map(([impl, make]) => ({
    name: "ingest",
    impl,
    params: { chunkBytes, topics: TOPICS },
    ops: frames,
    prepare: () => {
      const { ingest } = make();
      return () => chunks.reduce((sum, chunk) => sum + scanAll(ingest, chunk), 0);
    },
  }));
});

/** Names that are new each time: checked as UTF-8, hashed and stored. */
const interns: MicroCase[] = (["ascii", "utf8"] as const).flatMap((text) =>
  codecs.map(([impl, make]) => ({
    name: "intern",
    impl,
    params: { text, nameBytes: 60 },
    ops: 10_000,
    prepare: () => {
      const letter = text === "ascii" ? "ab" : "ä";
      const names = Array.from({ length: 10_000 }, (_, n) =>
        Buffer.from(`${letter.repeat(26)}0000${String(n).padStart(4, "0")}`),
      );
      // A small table is emptied every few runs, as with a stream of ever new names.
      const { ingest } = make(2 ** 24);
      let turn = 0;
      return () => {
        turn++;
        return names.reduce((sum, name) => {
          for (let digit = 0; digit < 4; digit++)
            name[52 + digit] = 0x61 + ((turn >> (digit * 4)) & 15);
          return sum + ingest.intern(name, 0, name.length);
        }, 0);
      };
    },
  })),
);

export const ingestCases: readonly MicroCase[] = [...scans, ...interns];
