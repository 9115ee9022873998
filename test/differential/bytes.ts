/** Chunks of packets that may be valid, damaged or random, all from a seed. */
import { concat, publish, subscribe } from "../support/packets.ts";
import type { Random } from "../support/random.ts";

/** Pieces of names: ASCII, two to four bytes, over-long forms, surrogates, zero, wildcards. */
const pieces: readonly Uint8Array[] = [
  "61",
  "2f",
  "622f63",
  "6c6f6e6765722d6c6576656c2d6e616d65",
  "c3a4",
  "e282ac",
  "f09d849e",
  "f48fbfbf",
  "c0af",
  "e08080",
  "eda080",
  "f4908080",
  "00",
  "2b",
  "23",
  "ff",
  "24",
].map((digits) => Uint8Array.from(Buffer.from(digits, "hex")));

function name(random: Random): Uint8Array {
  const parts = Array.from({ length: 1 + random.below(6) }, () =>
    // Mostly valid ones; otherwise few chunks would have a second frame.
    random.chance(20) ? random.pick(pieces) : pieces[random.below(7)]!,
  );
  if (random.chance(200)) parts.push(new Uint8Array(290 + random.below(20)).fill(0x78));
  return concat(...parts);
}

function frame(random: Random): Uint8Array {
  if (random.chance(5)) return subscribe(1, ["a/b", 1]);
  const topic = name(random);
  const payload = random.chance(30) ? random.below(6000) : random.below(30);
  const qos = random.below(3);
  const body = concat(
    Uint8Array.of(topic.length >> 8, topic.length & 0xff),
    topic,
    new Uint8Array((qos > 0 ? 2 : 0) + payload),
  );
  return concat(Uint8Array.of(0x30 | (qos << 1)), remainingLength(body.length, random), body);
}

/** A remaining length, now and then in more bytes than necessary, or in five. */
function remainingLength(length: number, random: Random): Uint8Array {
  const bytes: number[] = [];
  for (; length > 0x7f; length >>= 7) bytes.push((length & 0x7f) | 0x80);
  bytes.push(length);
  const extra = random.chance(40) ? random.below(4) : 0;
  for (let i = 0; i < extra; i++) {
    bytes[bytes.length - 1]! |= 0x80;
    bytes.push(0);
  }
  return Uint8Array.from(bytes);
}

export function chunkOf(random: Random): Uint8Array {
  const frames = Array.from({ length: 1 + random.below(8) }, () => frame(random));
  let chunk = concat(...frames, publish("end", ""));
  if (random.chance(4)) chunk = chunk.slice(0, random.below(chunk.length + 1));
  for (let damage = random.chance(4) ? 1 + random.below(3) : 0; damage > 0; damage--) {
    if (chunk.length > 0) chunk[random.below(Math.min(chunk.length, 60))] = random.below(256);
  }
  return chunk;
}
