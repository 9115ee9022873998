import { expect, test } from "vitest";
import { EffectKind, inspect, NO_CONN, type OutBuffer, Reason } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  concat,
  connect,
  describe,
  pingreq,
  puback,
  publish,
  subscribe,
} from "../../support/packets.ts";
import { Random } from "../../support/random.ts";

const line = (n: number): string => `PUBLISH t "${n}" q0`;

function fanout(count: number, options = {}) {
  const world = new TestBroker(options);
  const readers = Array.from({ length: count }, (_, n) => {
    const reader = world.connected(`r${n}`).send(subscribe(1, ["t", 1]));
    reader.takes();
    return reader;
  });
  return { world, readers, publisher: world.connected("p") };
}

test("sends several packets for one connection in one poll", () => {
  const { world, readers, publisher } = fanout(1);
  world.drains = false;
  for (let n = 0; n < 100; n++) publisher.send(publish("t", `${n}`));
  const out: OutBuffer = { bytes: new Uint8Array(65_536), length: 0, tail: null };
  expect(world.broker.pollSend(out, world.now)).toBe(readers[0]!.conn);
  expect(out.length).toBe(10 * 6 + 90 * 7);
  expect(world.broker.pollSend(out, world.now)).toBe(NO_CONN);
});

test("connections with much output take turns", () => {
  const { world, publisher } = fanout(3);
  world.drains = false;
  for (let n = 0; n < 100; n++) publisher.send(publish("t", "x".repeat(1000)));
  const out: OutBuffer = { bytes: new Uint8Array(4096), length: 0, tail: null };
  const order = Array.from({ length: 6 }, () => world.broker.pollSend(out, world.now));
  expect(new Set(order.slice(0, 3)).size).toBe(3);
  expect(order.slice(3)).toEqual(order.slice(0, 3));
});

test("a long payload is the tail of the output buffer, and a packet of any size fits any buffer", () => {
  const world = new TestBroker({ outBytes: 4096, limits: { topicBytesMax: 65_535 } });
  const topic = "x".repeat(30_000);
  const reader = world.connected("r").send(subscribe(1, ["#", 2]));
  reader.takes();
  const publisher = world.connected("p");
  for (const size of [0, 1, 100, 4000, 4085, 4096, 5000, 16_383, 16_384, 100_000]) {
    for (const name of ["t", topic]) {
      publisher.send(publish(name, new Uint8Array(size).fill(0x78), { qos: 1 }));
      const got = reader.takesBytes();
      const header = size + name.length + 4 < 128 ? 2 : size + name.length + 4 < 16_384 ? 3 : 4;
      expect(got.length).toBe(header + 2 + name.length + 2 + size);
      expect(got.subarray(-size || got.length).every((byte) => byte === 0x78)).toBe(true);
    }
    reader.send(...Array.from({ length: 40 }, (_, id) => puback(id + 1)));
  }
});

test("a blocked subscriber delays no other, and loses QoS 0 messages beyond outputBytesMax", () => {
  const { world, readers, publisher } = fanout(2, { limits: { outputBytesMax: 2000 } });
  const [slow, fast] = readers as [(typeof readers)[0], (typeof readers)[0]];
  slow.writable(false);
  for (let n = 0; n < 100; n++) publisher.send(publish("t", `${n}`));
  expect(fast.takes()).toEqual(Array.from({ length: 100 }, (_, n) => line(n)));
  expect(slow.takes()).toEqual([]);
  const dropped = world.count("droppedSlowReader");
  expect(dropped).toBeGreaterThan(0);
  slow.writable(true);
  expect(slow.takes()).toEqual(Array.from({ length: 100 - dropped }, (_, n) => line(n)));
  expect(world.count("outputBytes")).toBe(0);
  expect(world.count("messages")).toBe(0);
});

test("keeps QoS 1 messages for a slow subscriber within the queue's limits", () => {
  const { world, readers, publisher } = fanout(1, { limits: { queuedMessagesMax: 30 } });
  const [slow] = readers as [(typeof readers)[0]];
  slow.writable(false);
  for (let id = 1; id <= 60; id++) publisher.send(publish("t", `${id}`, { qos: 1, id }));
  expect(world.count("droppedQueueFull")).toBe(10); // 20 have a window place, 30 are queued
  expect(publisher.takes()).toHaveLength(60);
  slow.writable(true);
  expect(slow.takes()).toHaveLength(20);
});

test("the backlog counts the output of connections that take bytes", () => {
  const { world, readers, publisher } = fanout(2);
  readers[0]!.writable(false);
  publisher.send(publish("t", "x".repeat(1000)));
  expect(world.broker.sendableBytes).toBe(0);
  world.drains = false;
  publisher.send(publish("t", "x".repeat(1000)));
  expect(world.broker.sendableBytes).toBeGreaterThan(2000);
  world.drain();
  expect(world.broker.sendableBytes).toBe(0);
});

test("stops reading a client that does not take its replies until they are sent", () => {
  const world = new TestBroker();
  const client = world.connected();
  client.writable(false);
  const pings = concat(...Array.from({ length: 9000 }, () => pingreq));
  client.send(pings);
  expect(client.isReading).toBe(false);
  expect(world.count("inputBytes")).toBeGreaterThan(0);
  client.writable(true);
  expect(client.isReading).toBe(true);
  expect(client.takes()).toHaveLength(9000);
  expect(world.count("inputBytes")).toBe(0);
});

test("a fan-out beyond fanoutSlice is delivered in slices, in order, while its publisher waits", () => {
  const { world, readers, publisher } = fanout(100, { limits: { fanoutSlice: 16 } });
  world.drains = false;
  const chunk = [1, 2, 3].map((id) => publish("t", `${id}`, { qos: 1, id }));
  publisher.send(concat(...chunk, pingreq));
  expect(publisher.isReading).toBe(false);
  expect(world.count("publishesReceived")).toBe(1);
  world.drain();
  expect(publisher.isReading).toBe(true);
  expect(publisher.takes()).toEqual(["PUBACK #1", "PUBACK #2", "PUBACK #3", "PINGRESP"]);
  for (const reader of readers) {
    expect(reader.takes()).toEqual([1, 2, 3].map((n) => `PUBLISH t "${n}" q1 #${n}`));
  }
  expect(world.count("messages")).toBe(300 / 100); // in flight to all of them
});

test("a session that begins or ends during a fan-out does not disturb the fan-out", () => {
  const { world, readers, publisher } = fanout(60, {
    limits: { fanoutSlice: 16, sessionsMax: 100 },
  });
  world.drains = false;
  publisher.send(publish("t", "x"));
  readers[50]!.cut();
  readers[1]!.cut();
  const late = world.open().send(connect({ clientId: "late" }), subscribe(1, ["other", 0]));
  publisher.cut(); // its own end does not stop its fan-out
  world.drain();
  expect(late.takes()).toEqual(["CONNACK present=0 code=0", "SUBACK #1 0"]);
  for (const n of [0, 20, 40, 59]) expect(readers[n]!.takes()).toEqual(['PUBLISH t "x" q0']);
  expect(world.count("messages")).toBe(0);
});

test("a QoS 2 PUBLISH that exceeded the memory limit is accepted when it is sent again", () => {
  const limits = { messageBytesMax: 1_048_576, packetBytesMax: 1_000_000 };
  const world = new TestBroker({ limits });
  const fill = world.connected("fill");
  fill.send(publish("r", new Uint8Array(900_000), { retain: true }));
  const kept = { clientId: "kept", clean: false };
  world.connected("s").send(subscribe(1, ["t", 2]));
  const first = world.connected(kept);
  first.send(publish("t", new Uint8Array(300_000), { qos: 2, id: 3 }));
  expect(first.isOpen).toBe(false);
  fill.send(publish("r", "", { retain: true }));
  const second = world.connected(kept);
  second.send(publish("t", new Uint8Array(300_000), { qos: 2, id: 3, dup: true }));
  expect(second.takes()).toEqual(["PUBREC #3"]);
  expect(world.count("publishesDuplicate")).toBe(0);
});

test("a PUBLISH beyond messageBytesMax is not acknowledged, and its publisher is closed", () => {
  const limits = { messageBytesMax: 1_048_576, packetBytesMax: 1_000_000 };
  const { world, readers, publisher } = fanout(1, { limits });
  readers[0]!.writable(false);
  publisher.send(publish("t", new Uint8Array(900_000), { qos: 1, id: 1 }));
  publisher.send(publish("t", new Uint8Array(900_000)));
  expect(publisher.isOpen).toBe(true); // QoS 0 is dropped
  publisher.send(publish("t", new Uint8Array(900_000), { qos: 1, id: 2 }));
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  expect(publisher.reason).toBe(Reason.QuotaExceeded);
  expect(world.count("droppedNoMemory")).toBe(2);
});

test("shutdown refuses new connections, sends pending output, then closes every connection without wills", () => {
  const { world, readers, publisher } = fanout(2);
  const mortal = world.connected({ clientId: "m", will: { topic: "t", payload: "gone" } });
  const silent = world.open();
  world.drains = false;
  publisher.send(publish("t", "last", { qos: 1 }));
  world.broker.handleCommand({ kind: "shutdown" }, world.now);
  expect(world.open().conn).toBe(NO_CONN);
  silent.send(connect({ clientId: "late" }));
  world.drain();
  for (const reader of readers) {
    expect(reader.takes()).toEqual(['PUBLISH t "last" q1 #1']);
    expect(reader.ended).toBe(EffectKind.Close);
  }
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  expect([publisher, mortal, silent].map(({ ended }) => ended)).toEqual([1, 1, 1]);
  expect(world.count("clientsConnected")).toBe(0);
});

test("a message that the host publishes is delivered and retained, and refused if its topic name is invalid", () => {
  const { world, readers } = fanout(1);
  const say = (topic: string): void => {
    const payload = new TextEncoder().encode("hi");
    world.broker.handleCommand(
      { kind: "publish", topic, payload, qos: 1, retain: true },
      world.now,
    );
    world.drain();
  };
  say("t");
  expect(readers[0]!.takes()).toEqual(['PUBLISH t "hi" q1 #1']);
  expect(world.count("retainedMessages")).toBe(1);
  for (const topic of ["", "a/+", "#", "a\0"]) expect(() => say(topic)).toThrow("topic:");
});

test("reports published events only while they are observed", () => {
  const { world, publisher } = fanout(1);
  world.events();
  publisher.send(publish("t", "unseen"));
  world.broker.handleCommand({ kind: "observe", publishes: true }, world.now);
  publisher.send(publish("t", "seen"), publish("nobody", "seen too", { retain: true }));
  world.broker.handleCommand({ kind: "observe", publishes: false }, world.now);
  publisher.send(publish("t", "unseen"));
  const payloads = world.events().map((event) => {
    return event.kind === "published" ? new TextDecoder().decode(event.payload) : event.kind;
  });
  expect(payloads).toEqual(["seen", "seen too"]);
});

test.each([4096, 65_536])(
  "subscribers who are owed much the same get each their own, by buffers of %i bytes",
  (outBytes) => {
    const random = new Random(outBytes);
    const world = new TestBroker({ outBytes });
    const topics = ["a", "b", "c"];
    const readers = Array.from({ length: 40 }, (_, n) => {
      const client = world.connected(`r${n}`);
      const qos = n % 5 === 0 ? 1 : 0;
      const filters = topics.filter(() => !random.chance(3));
      if (filters.length > 0) client.send(subscribe(1, ...filters.map((f) => [f, qos] as const)));
      client.takes();
      return { client, filters, qos, owed: [] as string[] } as const;
    });
    const publisher = world.connected("p");
    for (let round = 0; round < 20; round++) {
      world.drains = false;
      for (let n = 0; n < 60; n++) {
        const topic = round % 4 === 0 ? "a" : random.pick(topics);
        const payload = "x".repeat(random.chance(10) ? random.below(2000) : random.below(30));
        publisher.send(publish(topic, payload, { qos: 1, id: n + 1 }));
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
  /** What is polled for a payload that comes in two parts, so that it is in a buffer of its own. */
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

test("stops reading a client that takes no replies at a quarter of a megabyte of replies, however long each is", () => {
  const world = new TestBroker();
  const client = world.connected();
  const filters = Array.from({ length: 20_000 }, (_, n) => [`${n}`, 0] as const);
  client.writable(false);
  for (let n = 0; client.isReading; n++) client.send(subscribe(n + 1, ...filters));
  const [state] = inspect(world.broker).connections;
  expect(state!.replyCount).toBe(14);
  client.writable(true);
  expect(client.isReading).toBe(true);
  expect(client.takesBytes().length).toBe(14 * 20_006);
});
