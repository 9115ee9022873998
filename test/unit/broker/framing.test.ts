import { expect, test } from "vitest";
import { Reason } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  concat,
  connect,
  disconnect,
  hex,
  pingreq,
  publish,
  pubrel,
  subscribe,
  unsubscribe,
} from "../../support/packets.ts";

/** A stream with every packet that a client sends, long and short. */
const stream = concat(
  connect({ clientId: "c", will: { topic: "w", payload: "x" } }),
  subscribe(1, ["a/#", 0], ["b", 2]),
  pingreq,
  publish("a/1", "short"),
  publish("b", "y".repeat(300), { qos: 1, id: 2 }),
  publish("a/2", "", { qos: 2, id: 3 }),
  pubrel(3),
  unsubscribe(4, "b"),
  publish("a/long", "z".repeat(20_000)),
  publish("b", "nobody"),
  pingreq,
);

function answersTo(chunks: readonly Uint8Array[]): string[] {
  const world = new TestBroker();
  const client = world.open().send(...chunks);
  expect(client.isOpen).toBe(true);
  expect(world.count("inputBytes")).toBe(0);
  return client.takes();
}

test("packets are the same however they are split into chunks", () => {
  const whole = answersTo([stream]);
  expect(whole).toHaveLength(12);
  const chunked = (size: number): Uint8Array[] =>
    Array.from({ length: Math.ceil(stream.length / size) }, (_, i) =>
      stream.subarray(i * size, (i + 1) * size),
    );
  for (const size of [1, 2, 3, 5, 7, 64, 1000, 4096, 16_384]) {
    expect(answersTo(chunked(size)).sort()).toEqual([...whole].sort());
  }
  for (let cut = 1; cut < 500; cut++) {
    expect(answersTo([stream.subarray(0, cut), stream.subarray(cut)])).toHaveLength(12);
  }
});

test("reads a remaining length of four bytes, one byte at a time", () => {
  const world = new TestBroker({ limits: { packetBytesMax: 4_000_000 } });
  const client = world.connected().subscribes(1, ["a", 0]);
  client.takes();
  const packet = publish("a", new Uint8Array(2_200_000).fill(0x61));
  expect(packet[4]! < 0x80 && packet[3]! >= 0x80).toBe(true);
  for (let i = 0; i < 10; i++) client.send(packet.subarray(i, i + 1));
  client.send(packet.subarray(10, 1_000_000), packet.subarray(1_000_000));
  expect(client.takes()).toEqual(["PUBLISH a 2200000 bytes q0"]);
});

test("accepts a remaining length in more bytes than necessary", () => {
  const client = new TestBroker().connected().subscribes(1, ["a", 0]);
  client.takes();
  client.send(hex("30 84 00 0001 61 78 c0 80 80 00"));
  expect(client.takes()).toEqual(["PINGRESP", 'PUBLISH a "x" q0']);
});

test("memory for a partial packet grows with the bytes received, not with the length announced", () => {
  const world = new TestBroker({ limits: { packetBytesMax: 1_000_000 } });
  world.connected().send(hex("30 c0 84 3d 0001 61"));
  expect(world.count("inputBytes")).toBeLessThan(5000);
});

test("a client that announces a long packet takes no memory from the packets of others", () => {
  const world = new TestBroker({ limits: { inputBytesMax: 8 * 1024 * 1024 } });
  const announced = hex("10f0ff3f00");
  const many = Array.from({ length: 2000 }, () => world.open().send(announced));
  expect(many.every((client) => client.isOpen)).toBe(true);
  const client = world.connected("c").subscribes(1, ["a", 0]);
  const long = publish("a", "x".repeat(100_000));
  client.send(long.subarray(0, 50_000), long.subarray(50_000));
  expect(client.takes()).toEqual(["SUBACK #1 0", "PUBLISH a 100000 bytes q0"]);
});

test("closes the connection whose input exceeds inputBytesMax", () => {
  const limits = { inputBytesMax: 1_048_576, packetBytesMax: 1_000_000 };
  const world = new TestBroker({ limits });
  const packet = publish("a", new Uint8Array(900_000));
  const first = world.connected("a").send(packet.subarray(0, 500_000));
  const second = world.connected("b").send(packet.subarray(0, 500_000));
  expect(second.reason).toBe(Reason.QuotaExceeded);
  first.send(packet.subarray(500_000), pingreq);
  expect(first.takes()).toEqual(["PINGRESP"]);
  expect(world.count("inputBytes")).toBe(0);
});

test("half a packet is forgotten with its connection", () => {
  const world = new TestBroker();
  world
    .connected("a")
    .send(publish("x", "y".repeat(100)).subarray(0, 50))
    .cut();
  world.connected("b").send(publish("x", "y".repeat(100)).subarray(0, 50), disconnect.subarray(0));
  expect(world.count("inputBytes")).toBeGreaterThan(0);
  world.connected("b");
  expect(world.count("inputBytes")).toBe(0);
});
