/** DISCONNECT from the broker: when it is sent, and with which reason. */
import { expect, test } from "vitest";
import { CloseCause } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { concat, connect, mqtt5 } from "../../support/packets.ts";

test("[MQTT-3.14.2-2] a shutdown sends the pending messages, then DISCONNECT with 0x8B", () => {
  const world = new TestBroker();
  const client = world.connected({ level: 5 }).subscribes(1, ["a", 0]);
  client.takes();
  world.drains = false;
  client.publishes("a", "last");
  world.broker.handleCommand({ kind: "shutdown" }, world.now);
  world.drains = true;
  world.drain();
  expect(client.takes()).toEqual([
    'PUBLISH a "last" q0',
    "DISCONNECT ServerShuttingDown ReasonString",
  ]);
  expect(client.isOpen).toBe(false);
});

test("DISCONNECT waits a second for a transport that takes no bytes, then the connection closes", () => {
  for (const isBackInTime of [true, false]) {
    const world = new TestBroker();
    const client = world.connected({ level: 5 });
    client.writable(false);
    client.publishes("a/#");
    expect(world.count("clientsConnected")).toBe(0);
    expect(client.isOpen).toBe(true);
    world.advance(900);
    if (isBackInTime) {
      client.writable(true);
      expect(client.takes()).toEqual(["DISCONNECT TopicNameInvalid ReasonString"]);
      expect(client.isOpen).toBe(false);
    } else {
      world.advance(200);
      expect(client.isOpen).toBe(false);
      expect(client.takes()).toEqual([]);
    }
    world.advance(10_000);
  }
});

test("a connection is forgotten when it closes before its DISCONNECT is sent", () => {
  const world = new TestBroker();
  const { conn } = world.connected({ level: 5, clientId: "k" });
  world.drains = false;
  world.broker.handleCommand({ kind: "kick", clientId: "k", reason: 0x98 }, world.now);
  const out = { bytes: new Uint8Array(65_536), length: 0, tail: null };
  expect(world.broker.pollSend(out, world.now)).toBe(conn);
  world.broker.handleWritable(conn, false, world.now);
  world.broker.handleClose(conn, CloseCause.Error, world.now);
  world.advance(60_000);
  expect(world.count("clientsConnected")).toBe(0);
});

test("a kick sends 0x98; a move sends the Server Reference, in CONNACK to later clients too", () => {
  const world = new TestBroker();
  const kicked = world.connected({ level: 5, clientId: "k" });
  world.command({ kind: "kick", clientId: "k", reason: 0x98 });
  expect(kicked.takes()).toEqual(["DISCONNECT AdministrativeAction ReasonString"]);
  expect(kicked.isOpen).toBe(false);
  const moved = world.connected({ level: 5, clientId: "m" });
  const old = world.connected("old");
  const reference = "other.example:1883";
  world.command({ kind: "move", reference, isForGood: false });
  const destination = `UseAnotherServer ReasonString ServerReference="${reference}"`;
  expect(moved.takes()).toEqual([`DISCONNECT ${destination}`]);
  expect(old.isOpen).toBe(false);
  const late = world.open().connects({ level: 5, clientId: "late" });
  expect(late.takes()).toEqual([`CONNACK present=0 ${destination}`]);
  world.broker.handleCommand({ kind: "move", reference: null, isForGood: false }, world.now);
  expect(world.connected({ level: 5, clientId: "again" }).isOpen).toBe(true);
});

test("[MQTT-3.14.0-1] for a fault in the chunk of the CONNECT, DISCONNECT follows CONNACK and the other replies", () => {
  const client = new TestBroker().open();
  client.send(
    concat(
      connect({ level: 5, clientId: "hasty" }),
      mqtt5.publish("t", "", { qos: 1, id: 7 }),
      Uint8Array.of(0xff, 0),
    ),
  );
  const [connack, ...rest] = client.takes();
  expect(connack).toMatch(/^CONNACK present=0 \w+=/);
  expect(rest).toEqual([
    "PUBACK #7 NoMatchingSubscribers",
    "DISCONNECT MalformedPacket ReasonString",
  ]);
  expect(client.isOpen).toBe(false);
});

test("[MQTT-3.14.0-1] a client that is taken over before its CONNACK is sent receives CONNACK and DISCONNECT", () => {
  const world = new TestBroker();
  world.drains = false;
  const [first, second] = [world.open(), world.open()];
  for (const client of [first, second]) client.connects({ level: 5, clientId: "same" });
  world.drain();
  const accepted = expect.stringMatching(/^CONNACK present=0 \w+=/);
  expect(first.takes()).toEqual([accepted, "DISCONNECT SessionTakenOver ReasonString"]);
  expect(second.takes()).toEqual([accepted]);
});

test("a closing connection sends the replies that wait for a commit after it, and DISCONNECT behind them", () => {
  const world = new TestBroker({ durable: "when told" });
  const client = world.open();
  client.connects({ level: 5, clientId: "kept", props: { SessionExpiryInterval: 9 } });
  world.commit();
  expect(client.takes()).toEqual([expect.stringMatching(/^CONNACK present=0 \w+=/)]);
  world.drains = false;
  client.send(
    concat(
      mqtt5.publish("t", "", { qos: 1, id: 1 }),
      mqtt5.subscribe(2, ["t", 1]),
      mqtt5.publish("t", "", { qos: 1, id: 3 }),
      Uint8Array.of(0xff, 0),
    ),
  );
  world.drain();
  expect(client.takes()).toEqual(["PUBACK #1 NoMatchingSubscribers"]);
  world.commit();
  expect(client.takes()).toEqual([
    "SUBACK #2 1",
    "PUBACK #3",
    "DISCONNECT MalformedPacket ReasonString",
  ]);
});
