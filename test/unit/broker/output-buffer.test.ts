/** pollSend: several packets in one buffer, long payloads beside it, and the same bytes for many subscribers. */
import { expect, test } from "vitest";
import { NO_CONN, type OutBuffer } from "../../../core/mod.ts";
import { fanout, TestBroker } from "../../support/broker.ts";
import { describe, puback, publish } from "../../support/packets.ts";
import { Random } from "../../support/random.ts";

test("sends several packets for one connection in one poll", () => {
  const { world, readers, publisher } = fanout(1);
  world.drains = false;
  for (let n = 0; n < 100; n++) publisher.publishes("t", `${n}`);
  const out: OutBuffer = { bytes: new Uint8Array(65_536), length: 0, tail: null };
  expect(world.broker.pollSend(out, world.now)).toBe(readers[0]!.conn);
  expect(out.length).toBe(10 * 6 + 90 * 7);
  expect(world.broker.pollSend(out, world.now)).toBe(NO_CONN);
});

test("connections with much output take turns", () => {
  const { world, publisher } = fanout(3);
  world.drains = false;
  for (let n = 0; n < 100; n++) publisher.publishes("t", "x".repeat(1000));
  const out: OutBuffer = { bytes: new Uint8Array(4096), length: 0, tail: null };
  const order = Array.from({ length: 6 }, () => world.broker.pollSend(out, world.now));
  expect(new Set(order.slice(0, 3)).size).toBe(3);
  expect(order.slice(3)).toEqual(order.slice(0, 3));
});

test("a long payload is the tail of the output buffer, and a packet of any size fits any buffer", () => {
  const world = new TestBroker({ outBytes: 4096, limits: { topicBytesMax: 65_535 } });
  const topic = "x".repeat(30_000);
  const reader = world.connected("r").subscribes(1, ["#", 2]);
  reader.takes();
  const publisher = world.connected("p");
  for (const size of [0, 1, 100, 4000, 4085, 4096, 5000, 16_383, 16_384, 100_000]) {
    for (const name of ["t", topic]) {
      publisher.publishes(name, new Uint8Array(size).fill(0x78), { qos: 1 });
      const got = reader.takesBytes();
      const header = size + name.length + 4 < 128 ? 2 : size + name.length + 4 < 16_384 ? 3 : 4;
      expect(got.length).toBe(header + 2 + name.length + 2 + size);
      expect(got.subarray(-size || got.length).every((byte) => byte === 0x78)).toBe(true);
    }
    reader.send(...Array.from({ length: 40 }, (_, id) => puback(id + 1)));
  }
});

test.each([4096, 65_536])(
  "subscribers with similar pending messages each receive their own, with an output buffer of %i bytes",
  (outBytes) => {
    const random = new Random(outBytes);
    const world = new TestBroker({ outBytes });
    const topics = ["a", "b", "c"];
    const readers = Array.from({ length: 40 }, (_, n) => {
      const client = world.connected(`r${n}`);
      const qos = n % 5 === 0 ? 1 : 0;
      const filters = topics.filter(() => !random.chance(3));
      if (filters.length > 0) client.subscribes(1, ...filters.map((f) => [f, qos] as const));
      client.takes();
      return { client, filters, qos, owed: [] as string[] } as const;
    });
    const publisher = world.connected("p");
    for (let round = 0; round < 20; round++) {
      world.drains = false;
      for (let n = 0; n < 60; n++) {
        const topic = round % 4 === 0 ? "a" : random.pick(topics);
        const payload = "x".repeat(random.chance(10) ? random.below(2000) : random.below(30));
        publisher.publishes(topic, payload, { qos: 1, id: n + 1 });
        for (const reader of readers) {
          if (reader.filters.includes(topic)) {
            reader.owed.push(
              describe(publish(topic, payload, { qos: reader.qos })).replace(/ #\d+$/, ""),
            );
          }
        }
      }
      world.drains = true;
      world.drain();
      for (const { client, owed } of readers) {
        const got = client.takes();
        for (let i = 0; i < got.length; i++) {
          const id = /#(\d+)$/.exec(got[i]!)?.[1];
          if (id === undefined) continue;
          client.send(puback(Number(id)));
          got.push(...client.takes());
        }
        expect(got.map((line) => line.replace(/ #\d+$/, ""))).toEqual(owed.splice(0));
      }
    }
  },
);

test("does not reuse the memory of a long payload while the host reads it, and reuses it after", () => {
  const { world, readers, publisher } = fanout(1);
  world.drains = false;
  const out: OutBuffer = { bytes: new Uint8Array(65_536), length: 0, tail: null };
  /** The tail polled for a payload that arrives in two chunks, and so has its own buffer. */
  const polled = (fill: number): Uint8Array => {
    const packet = publish("t", new Uint8Array(40_000).fill(fill));
    publisher.send(packet.subarray(0, 100), packet.subarray(100));
    expect(world.broker.pollSend(out, world.now)).toBe(readers[0]!.conn);
    expect(out.tail).toEqual(new Uint8Array(40_000).fill(fill));
    return out.tail!;
  };
  const first = polled(1);
  const second = polled(2);
  expect(second.buffer).toBe(first.buffer);
  const { conn } = readers[0]!;
  world.broker.handleWritable(conn, false, world.now);
  world.broker.handleWritable(conn, true, world.now);
  expect(polled(3).buffer).not.toBe(second.buffer);
  expect(second).toEqual(new Uint8Array(40_000).fill(2));
});
