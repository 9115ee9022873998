// A peer that ends its side of the transport may still read: the connection ends when no output for it is pending.
import { expect, test } from "vitest";
import { EffectKind, Reason, Verdict } from "../../../core/mod.ts";
import { pair, TestBroker } from "../../support/broker.ts";
import { concat, connect, pingreq, publish, pubrel, subscribe } from "../../support/packets.ts";

test("a client that writes no more gets its replies and retained messages, then Close", () => {
  const world = new TestBroker();
  const publisher = world.connected("p");
  for (let n = 0; n < 200; n++) publisher.publishes(`a/${n}`, "x", { retain: true });
  const client = world.connected("c");
  world.drains = false;
  client.subscribes(1, ["a/#", 0]);
  client.halfCloses();
  expect(client.isOpen).toBe(true);
  world.drain();
  expect(client.takes()).toHaveLength(201);
  expect(client.ended).toBe(EffectKind.Close);
});

test("a connection whose peer writes no more ends at once if no output is pending", () => {
  const world = new TestBroker();
  const client = world.connected("c");
  client.halfCloses();
  expect(client.ended).toBe(EffectKind.Close);
  const silent = world.open();
  silent.halfCloses();
  expect(silent.ended).toBe(EffectKind.Close);
  expect(world.events()).toMatchObject([
    { kind: "connected", clientId: "c" },
    { kind: "disconnected", clientId: "c", reason: Reason.Unspecified },
    { kind: "refused", hasConnect: false },
  ]);
});

test("an end without DISCONNECT publishes the will, and the session is kept", () => {
  const world = new TestBroker();
  const observer = world.connected("o");
  observer.subscribes(1, ["will", 0]);
  observer.takes();
  const will = { topic: "will", payload: "gone" };
  world.connected({ clientId: "c", clean: false, will }).halfCloses();
  expect(observer.takes()).toEqual(['PUBLISH will "gone" q0']);
  expect(world.connected({ clientId: "c", clean: false }).isSessionPresent).toBe(true);
});

test("the broker waits for a transport that takes no bytes", () => {
  const world = new TestBroker();
  const client = world.connected("c");
  client.writable(false);
  client.send(pingreq);
  client.halfCloses();
  expect(client.isOpen).toBe(true);
  client.writable(true);
  expect(client.takes()).toEqual(["PINGRESP"]);
  expect(client.isOpen).toBe(false);
});

test("a host may report after each write that the transport takes no more bytes", () => {
  const world = new TestBroker();
  const { broker, now } = world;
  const client = world.connected("c");
  world.drains = false;
  client.send(pingreq);
  client.halfCloses();
  const out = { bytes: new Uint8Array(4096), length: 0, tail: null };
  expect(broker.pollSend(out, now)).toBe(client.conn);
  broker.handleWritable(client.conn, false, now);
  world.drain();
  expect(client.isOpen).toBe(true);
  client.writable(true);
  expect(client.ended).toBe(EffectKind.Close);
});

test("a transport that takes no bytes for too long is cut, though its peer writes no more", () => {
  const world = new TestBroker({ limits: { stallMillisMax: 10_000 } });
  const client = world.connected({ clientId: "c", keepAlive: 0 });
  client.writable(false);
  client.halfCloses();
  world.advance(20_000);
  expect(client.ended).toBe(EffectKind.Abort);
});

test("the broker waits for the commit that a reply waits for", () => {
  const { world, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.publishes("t", "x", { qos: 1, id: 7 }).halfCloses();
  expect(publisher.isOpen).toBe(true);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #7"]);
  expect(publisher.ended).toBe(EffectKind.Close);
});

test("the broker waits for the commit that a message at QoS 2 waits for", () => {
  const { world, subscriber, publisher } = pair({ granted: 2, durable: "when told" });
  publisher.send(publish("t", "x", { qos: 2, id: 1 }), pubrel(1));
  subscriber.halfCloses();
  expect([subscriber.takes(), subscriber.isOpen]).toEqual([[], true]);
  world.commit();
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q2 #1']);
  expect(subscriber.isOpen).toBe(false);
});

test("the broker waits for the decision on the last packet, whether a reply follows or not", () => {
  for (const qos of [0, 1] as const) {
    const world = new TestBroker({ policy: { publish: () => Verdict.Pending } });
    const client = world.connected("c");
    client.send(concat(publish("t", "x", { qos, id: 7 }), pingreq));
    client.halfCloses();
    expect(client.isOpen).toBe(true);
    world.decide(client, { kind: "allow" });
    expect(client.takes()).toEqual(qos === 0 ? ["PINGRESP"] : ["PUBACK #7", "PINGRESP"]);
    expect(client.ended).toBe(EffectKind.Close);
    expect(world.count("publishesReceived")).toBe(1);
  }
  const world = new TestBroker({ policy: { publish: () => Verdict.Pending } });
  const client = world.connected("c");
  client.publishes("t", "x");
  client.halfCloses();
  world.decide(client, { kind: "allow" });
  expect(client.ended).toBe(EffectKind.Close);
});

test("the broker waits for a fan-out in slices: of the publisher's message, and to a subscriber", () => {
  const world = new TestBroker({ limits: { fanoutSlice: 16 } });
  const readers = Array.from({ length: 100 }, (_, n) => world.connected(`r${n}`));
  for (const reader of readers) reader.subscribes(1, ["t", 0]).takes();
  const publisher = world.connected("p");
  world.drains = false;
  publisher.publishes("t", "x", { qos: 1, id: 7 });
  publisher.halfCloses();
  for (const reader of readers) reader.halfCloses();
  world.drain();
  expect(publisher.takes()).toEqual(["PUBACK #7"]);
  for (const reader of readers) expect(reader.takes()).toEqual(['PUBLISH t "x" q0']);
  expect([publisher, ...readers].some(({ isOpen }) => isOpen)).toBe(false);
});

test("the broker waits for a scan of retained names that takes several turns", () => {
  const world = new TestBroker({ limits: { retainedMessagesMax: 100_000 } });
  const publisher = world.connected("p");
  for (let n = 0; n < 20_000; n++) publisher.publishes(`a/${n}/b`, "x", { retain: true });
  publisher.publishes("a/20000/c", "last", { retain: true });
  const client = world.connected("c");
  client.subscribes(1, ["a/+/c", 0]);
  client.takes();
  client.halfCloses();
  expect(client.isOpen).toBe(true);
  world.advance(0);
  expect(client.takes()).toEqual(['PUBLISH a/20000/c "last" q0 retain']);
  expect(client.ended).toBe(EffectKind.Close);
});

test("messages that the window has no room for do not keep the connection", () => {
  const world = new TestBroker();
  const reader = world.open();
  reader.send(connect({ clientId: "r", clean: false }), subscribe(1, ["t", 1]));
  const writer = world.connected("w");
  for (let n = 1; n <= 100; n++) writer.publishes("t", "x", { qos: 1, id: n });
  reader.halfCloses();
  expect(reader.ended).toBe(EffectKind.Close);
  expect(world.count("sessions")).toBe(2);
});
