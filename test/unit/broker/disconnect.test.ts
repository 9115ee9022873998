/** DISCONNECT from the broker: when it is sent, and with which reason. */
import { expect, test } from "vitest";
import { CloseCause, Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";

test("[MQTT-3.14.2-2] a shutdown sends the pending messages, then DISCONNECT with 0x8B", () => {
  const world = new TestBroker();
  const client = new Mqtt5Client(world).send(wire.subscribe(5, 1, [["a", 0]]));
  client.takes();
  world.drains = false;
  client.send(wire.publish(5, { topic: "a", payload: "last" }));
  world.broker.handleCommand({ kind: "shutdown" }, world.now);
  world.drains = true;
  world.drain();
  const packets = client.takes();
  expect(packets.map(({ type }) => type)).toEqual(["PUBLISH", "DISCONNECT"]);
  expect(packets[1]!.reason).toBe(Reason.ServerShuttingDown);
  expect(packets[1]!.props["SessionExpiryInterval"]).toBeUndefined();
  expect(client.client.isOpen).toBe(false);
});

test("DISCONNECT waits a second for a transport that takes no bytes, then the connection closes", () => {
  for (const isBackInTime of [true, false]) {
    const world = new TestBroker();
    const client = new Mqtt5Client(world);
    client.client.writable(false);
    client.send(wire.publish(5, { topic: "a/#" }));
    expect(world.count("clientsConnected")).toBe(0);
    expect(client.client.isOpen).toBe(true);
    world.advance(900);
    if (isBackInTime) {
      client.client.writable(true);
      expect(client.disconnectReason()).toBe(Reason.TopicNameInvalid);
    } else {
      world.advance(200);
      expect(client.client.isOpen).toBe(false);
      expect(client.takes()).toEqual([]);
    }
    world.advance(10_000);
  }
});

test("a connection is forgotten when it closes before its DISCONNECT is sent", () => {
  const world = new TestBroker();
  const { conn } = new Mqtt5Client(world).client;
  world.drains = false;
  world.broker.handleCommand({ kind: "kick", clientId: "mqtt5", reason: 0x98 }, world.now);
  const out = { bytes: new Uint8Array(65_536), length: 0, tail: null };
  expect(world.broker.pollSend(out, world.now)).toBe(conn);
  world.broker.handleWritable(conn, false, world.now);
  world.broker.handleClose(conn, CloseCause.Error, world.now);
  world.advance(60_000);
  expect(world.count("clientsConnected")).toBe(0);
});

test("a kick sends 0x98; a move sends the Server Reference, in CONNACK to later clients too", () => {
  const world = new TestBroker();
  const kicked = new Mqtt5Client(world, { clientId: "k" });
  world.broker.handleCommand({ kind: "kick", clientId: "k", reason: 0x98 }, world.now);
  world.drain();
  expect(kicked.disconnectReason()).toBe(Reason.AdministrativeAction);
  const moved = new Mqtt5Client(world, { clientId: "m" });
  const old = world.connected("old");
  const reference = "other.example:1883";
  world.broker.handleCommand({ kind: "move", reference, isForGood: false }, world.now);
  world.drain();
  const [farewell] = moved.takes();
  expect([farewell!.reason, farewell!.props["ServerReference"]]).toEqual([0x9c, reference]);
  expect(old.isOpen).toBe(false);
  const late = new Mqtt5Client(world, { clientId: "late" });
  expect([late.connack.reason, late.connack.props["ServerReference"]]).toEqual([0x9c, reference]);
  world.broker.handleCommand({ kind: "move", reference: null, isForGood: false }, world.now);
  expect(new Mqtt5Client(world, { clientId: "again" }).connack.reason).toBe(0);
});
