// 3.1 and 3.1.1 have no Receive Maximum: messages beyond `receiveMax` wait, and the connection stays open.
import { expect, test } from "vitest";
import { Verdict } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  concat,
  connect,
  disconnect,
  type PublishFields,
  pingreq,
  publish,
  pubrel,
  subscribe,
} from "../../support/packets.ts";

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n);
const publishes = (ids: readonly number[], qos: PublishFields["qos"]): Uint8Array[] =>
  ids.map((id) => publish("t", `${id}`, { qos: qos!, id }));

for (const level of [3, 4] as const) {
  test(`level ${level}: receives, releases and delivers QoS 2 messages beyond receiveMax`, () => {
    const world = new TestBroker({ limits: { receiveMax: 1 } });
    const reader = world.connected("r").subscribes(1, ["t", 0]);
    reader.takes();
    const writer = world.connected({ clientId: "w", level });
    const ids = range(1, 40);
    // In one chunk: the PUBREL of the first message comes after all messages.
    writer.send(concat(...publishes(ids, 2), ...ids.map(pubrel)));
    expect(writer.takes()).toEqual([
      ...ids.map((id) => `PUBREC #${id}`),
      ...ids.map((id) => `PUBCOMP #${id}`),
    ]);
    expect(reader.takes()).toEqual(ids.map((id) => `PUBLISH t "${id}" q0`));
    expect(writer.isOpen).toBe(true);
    expect(world.count("inputBytes")).toBe(0);
  });
}

for (const end of [disconnect, Uint8Array.of(0xf0, 0)]) {
  const name = end === disconnect ? "DISCONNECT" : "a malformed packet";
  test(`every message beyond receiveMax is acknowledged before ${name} of the same chunk ends the connection`, () => {
    const world = new TestBroker({ limits: { receiveMax: 10 } });
    const writer = world.connected({ clientId: "w" });
    const ids = range(1, 59);
    writer.send(concat(...publishes(ids, 1), pingreq, end));
    expect(writer.takes()).toEqual([...ids.map((id) => `PUBACK #${id}`), "PINGRESP"]);
    expect(writer.isOpen).toBe(false);
  });
}

test("every packet identifier may have an open QoS 2 exchange, whatever receiveMax is", () => {
  const world = new TestBroker({ limits: { receiveMax: 1 } });
  const writer = world.connected({ clientId: "w", clean: false });
  writer.send(concat(...publishes(range(1, 65_535), 2)));
  expect(writer.takes()).toEqual(range(1, 65_535).map((id) => `PUBREC #${id}`));
  writer.send(publish("t", "", { qos: 2, id: 1, dup: true }), pubrel(65_535));
  expect(writer.takes()).toEqual(["PUBREC #1", "PUBCOMP #65535"]);
});

test("at most receiveMax messages wait for the store, and commits let the rest be read", () => {
  for (const qos of [1, 2] as const) {
    const world = new TestBroker({ durable: "when told", limits: { receiveMax: 3 } });
    const reader = world.open();
    reader.send(connect({ clientId: "r", clean: false }), subscribe(1, ["t", 1]));
    world.commit();
    const writer = world.open();
    writer.connects({ clientId: "w", clean: false });
    world.commit();
    writer.takes();
    writer.send(concat(...publishes(range(1, 8), qos), pingreq));
    const answer = qos === 1 ? "PUBACK" : "PUBREC";
    for (const received of [3, 6, 8]) {
      expect(world.count("publishesReceived")).toBe(received);
      expect(writer.isReading).toBe(received === 8);
      expect(writer.takes().filter((packet) => packet !== "PINGRESP")).toEqual([]);
      world.commit();
      const first = received === 8 ? 7 : received - 2;
      expect(writer.takes().filter((packet) => packet !== "PINGRESP")).toEqual(
        range(first, received).map((id) => `${answer} #${id}`),
      );
    }
    expect(writer.isOpen).toBe(true);
    expect(world.count("inputBytes")).toBe(0);
  }
});

test("a repeated message is acknowledged again, and counts until that acknowledgement", () => {
  const world = new TestBroker({ durable: "when told", limits: { receiveMax: 2 } });
  const writer = world.open();
  writer.connects({ clientId: "w", clean: false });
  world.commit();
  writer.takes();
  const again = publish("t", "1", { qos: 2, id: 1, dup: true });
  writer.send(concat(...publishes([1], 2), again, again, again, pubrel(1)));
  expect(world.count("publishesReceived")).toBe(2);
  world.commit();
  expect(writer.takes()).toEqual(Array(4).fill("PUBREC #1"));
  world.commit();
  expect(writer.takes()).toEqual(["PUBCOMP #1"]);
});

test("input does not overwrite a payload that the transport has yet to read", () => {
  const world = new TestBroker({ limits: { receiveMax: 1 } });
  const client = world.connected("c").subscribes(1, ["t", 0]);
  client.takes();
  const letters = ["a", "b", "c"];
  client.send(
    concat(...letters.map((x, n) => publish("t", x.repeat(20_000), { qos: 1, id: n + 1 }))),
  );
  const sent = Buffer.from(client.takesBytes()).toString("latin1");
  expect(letters.map((x) => sent.includes(x.repeat(20_000)))).toEqual([true, true, true]);
});

test("stops reading a client that takes no bytes at receiveMax, and resumes when it takes its replies", () => {
  const world = new TestBroker({ limits: { receiveMax: 2 } });
  const writer = world.connected("w");
  writer.writable(false);
  writer.send(concat(...publishes(range(1, 5), 1)));
  expect(writer.isReading).toBe(false);
  expect(world.count("publishesReceived")).toBe(2);
  writer.writable(true);
  expect(writer.takes()).toEqual(range(1, 5).map((id) => `PUBACK #${id}`));
  expect(writer.isReading).toBe(true);
});

test("input held up by a pending decision is handled in its order of arrival", () => {
  const world = new TestBroker({
    limits: { receiveMax: 2 },
    policy: { publish: () => Verdict.Pending },
  });
  const reader = world.connected("r").subscribes(1, ["t", 0]);
  reader.takes();
  const writer = world.connected("w");
  writer.send(concat(...publishes(range(1, 50), 1)));
  for (const id of range(1, 50)) {
    expect(world.requests).toHaveLength(id);
    world.decide(writer, { kind: "allow" });
  }
  expect(reader.takes()).toEqual(range(1, 50).map((id) => `PUBLISH t "${id}" q0`));
  expect(writer.takes()).toEqual(range(1, 50).map((id) => `PUBACK #${id}`));
  expect(world.count("inputBytes")).toBe(0);
});
