import { expect, test } from "vitest";
import { EffectKind, Reason } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  connect,
  disconnect,
  idIn,
  pingreq,
  puback,
  publish,
  subscribe,
} from "../../support/packets.ts";

const kept = { clientId: "s", clean: false } as const;

/** A persistent session that subscribes to `t`, away. */

function away(limits = {}) {
  const world = new TestBroker({ limits });
  world.connected(kept).subscribes(1, ["t", 1]).send(disconnect);
  return { world, publisher: world.connected("p") };
}

test("[MQTT311-3.1.2-4] resumes a session without Clean Session, and sets session present [MQTT311-3.2.2-2]", () => {
  const world = new TestBroker();
  const first = world.connected(kept);
  expect(first.isSessionPresent).toBe(false); // [MQTT311-3.2.2-3]
  first.send(subscribe(1, ["t", 0]), disconnect);
  const second = world.connected(kept);
  expect(second.isSessionPresent).toBe(true);
  second.publishes("t", "x");
  expect(second.takes()).toEqual(['PUBLISH t "x" q0']);
});

test("[MQTT311-3.1.2-6] Clean Session discards the previous session, and its own at the end of the connection", () => {
  const { world, publisher } = away();
  publisher.publishes("t", "lost", { qos: 1 });
  const clean = world.connected({ clientId: "s", clean: true });
  expect(clean.isSessionPresent).toBe(false); // [MQTT311-3.2.2-1]
  expect(clean.takes()).toEqual([]);
  clean.send(subscribe(1, ["t", 1]), disconnect);
  expect(world.connected(kept).isSessionPresent).toBe(false);
  expect(world.count("messages")).toBe(0);
  expect(world.count("subscriptions")).toBe(0);
});

test("[MQTT311-3.1.2-5] keeps QoS 1 and 2 messages for an offline session, not QoS 0", () => {
  const { world, publisher } = away();
  publisher.send(publish("t", "0"), publish("t", "1", { qos: 1 }), publish("t", "2", { qos: 2 }));
  expect(world.count("queued")).toBe(2);
  expect(world.connected(kept).takes()).toEqual(['PUBLISH t "1" q1 #1', 'PUBLISH t "2" q1 #2']);
});

test("with queueQos0, keeps QoS 0 messages too", () => {
  const { world, publisher } = away({ queueQos0: 1 });
  publisher.send(publish("t", "0"), publish("t", "1", { qos: 1 }), publish("t", "00"));
  expect(world.connected(kept).takes()).toEqual([
    'PUBLISH t "0" q0',
    'PUBLISH t "1" q1 #1',
    'PUBLISH t "00" q0',
  ]);
});

test("messages that were ready and not sent are sent on the next connection", () => {
  const world = new TestBroker();
  const subscriber = world.connected(kept).subscribes(1, ["t", 1]);
  subscriber.takes();
  subscriber.writable(false);
  const publisher = world.connected("p");
  for (let id = 1; id <= 25; id++) publisher.publishes("t", `${id}`, { qos: 1, id });
  subscriber.cut();
  const back = world.connected(kept);
  const got: string[] = [];
  for (let lines = back.takes(); lines.length > 0; lines = back.takes()) {
    for (const line of lines) {
      got.push(/"(\d+)"/.exec(line)![1]!);
      expect(line).not.toContain("dup"); // no message was sent before
      back.send(puback(idIn(line)));
    }
  }
  expect(got).toEqual(Array.from({ length: 25 }, (_, i) => `${i + 1}`));
});

test("a session ends after sessionMillisMax offline", () => {
  const { world, publisher } = away({ sessionMillisMax: 60_000 });
  publisher.send(publish("t", "x", { qos: 1 }), disconnect);
  world.advance(59_999);
  expect(world.count("sessions")).toBe(1);
  world.advance(1);
  expect(world.count("sessions")).toBe(0);
  expect(world.count("sessionsExpired")).toBe(1);
  expect(world.count("messages")).toBe(0);
  expect(world.count("subscriptions")).toBe(0);
  expect(world.connected(kept).isSessionPresent).toBe(false);
});

test("a resumed session does not expire while it is connected", () => {
  const { world } = away({ sessionMillisMax: 60_000 });
  world.advance(59_000);
  const back = world.connected(kept);
  world.advance(10 * 60_000);
  expect(back.isOpen).toBe(true);
  back.send(pingreq);
  expect(back.takes()).toEqual(["PINGRESP"]);
});

test("keeps an offline session for thirty days by default", () => {
  const { world } = away();
  world.advance(30 * 86_400_000 - 1);
  expect(world.connected(kept).isSessionPresent).toBe(true);
});

test("[MQTT311-3.1.4-2] a second connection with the same client identifier takes over the session", () => {
  const world = new TestBroker();
  const first = world.connected(kept).subscribes(1, ["t", 1]);
  const second = world.connected(kept);
  expect(first.ended).toBe(EffectKind.Close);
  expect(first.reason).toBe(Reason.SessionTakenOver);
  expect(second.isSessionPresent).toBe(true);
  second.publishes("t", "x");
  expect(second.takes()).toEqual(['PUBLISH t "x" q0']);
  expect(world.count("sessionsTakenOver")).toBe(1);
  expect(world.count("clientsConnected")).toBe(1);
});

test("a takeover of a clean session starts a new session", () => {
  const world = new TestBroker();
  world.connected("s").subscribes(1, ["t", 1]);
  const second = world.connected("s").publishes("t", "x");
  expect(second.takes()).toEqual([]);
  expect(world.count("sessions")).toBe(1);
});

test("a takeover within one drain leaves one connection, and late bytes of the other do nothing", () => {
  const world = new TestBroker();
  world.drains = false;
  const [a, b, c] = [world.open(), world.open(), world.open()];
  for (const client of [a, b, c]) client.send(connect(kept), subscribe(1, ["t", 0]));
  a.publishes("t", "late");
  world.drain();
  expect([a.isOpen, b.isOpen, c.isOpen]).toEqual([false, false, true]);
  expect(c.takes()).toEqual(["CONNACK present=1 code=0", "SUBACK #1 0"]);
  expect(world.count("sessions")).toBe(1);
});

test("beyond sessionsMax, refuses a new kept session with code 3 and accepts known clients", () => {
  const world = new TestBroker({ limits: { sessionsMax: 2 } });
  world.connected({ clientId: "a", clean: false }).send(disconnect);
  world.connected({ clientId: "b", clean: false });
  const third = world.open().connects({ clientId: "third", clean: false });
  expect(third.takes()).toEqual(["CONNACK present=0 code=3"]);
  expect(third.ended).toBe(EffectKind.Close);
  expect(world.connected({ clientId: "a", clean: false }).isSessionPresent).toBe(true);
});

test("sessions that end with their connection do not count against sessionsMax", () => {
  const world = new TestBroker({ limits: { sessionsMax: 1, connectionsMax: 3 } });
  world.connected({ clientId: "a", clean: false }).send(disconnect);
  const clean = ["b", "c", "d"].map((clientId) => world.connected({ clientId }));
  clean[0]!.send(disconnect);
  world.connected({ clientId: "a" }).send(disconnect);
  // Session a is gone, and clean sessions do not count.
  expect(world.connected({ clientId: "e", clean: false }).isOpen).toBe(true);
});

test("refuses transports beyond connectionsMax", () => {
  const world = new TestBroker({ limits: { connectionsMax: 2 } });
  world.connected("a");
  const b = world.connected("b");
  expect(world.open().conn).toBe(0);
  expect(world.count("connectionsRefused")).toBe(1);
  b.cut();
  expect(world.connected("c").isOpen).toBe(true);
});

test("drops and counts the newest messages beyond queuedMessagesMax and queuedBytesMax", () => {
  const { world, publisher } = away({ queuedMessagesMax: 2 });
  for (let id = 1; id <= 4; id++) publisher.publishes("t", `${id}`, { qos: 1, id });
  expect(world.count("droppedQueueFull")).toBe(2);
  expect(world.connected(kept).takes()).toEqual(['PUBLISH t "1" q1 #1', 'PUBLISH t "2" q1 #2']);

  const bytes = away({ queuedBytesMax: 300 });
  for (let id = 1; id <= 4; id++) {
    bytes.publisher.publishes("t", new Uint8Array(100), { qos: 1, id });
  }
  expect(bytes.world.count("droppedQueueFull")).toBe(2);
  expect(bytes.publisher.takes()).toHaveLength(4);
});
