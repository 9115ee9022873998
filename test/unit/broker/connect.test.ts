import { describe, expect, test } from "vitest";
import { EffectKind, Reason } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  concat,
  connect,
  disconnect,
  hex,
  pingreq,
  publish,
  subscribe,
  toHex,
} from "../../support/packets.ts";

test("accepts 3.1.1 with a CONNACK of four bytes [MQTT311-3.2.0-1]", () => {
  const client = new TestBroker().open().connects();
  expect(toHex(client.takesBytes())).toBe("20020000");
});

test("accepts 3.1 with a CONNACK without a session present flag", () => {
  const world = new TestBroker();
  world.connected({ level: 3, clientId: "old", clean: false }).send(disconnect);
  const client = world.open().connects({ level: 3, clientId: "old", clean: false });
  expect(toHex(client.takesBytes())).toBe("20020000");
});

test("[MQTT311-3.1.2-2] answers an unknown protocol level with return code 1 and closes the connection", () => {
  for (const level of ["03", "00", "06", "7f", "80", "83", "86", "ff"]) {
    const client = new TestBroker().open();
    client.send(hex(`10 0d 0004 4d515454 ${level} 02 0000 0001 63`));
    expect(client.takes()).toEqual(["CONNACK present=0 code=1"]);
    expect(client.ended).toBe(EffectKind.Close);
  }
  for (const level of ["00", "04", "05", "80", "84", "85"]) {
    const client = new TestBroker().open();
    client.send(hex(`10 0f 0006 4d5149736470 ${level} 02 0000 0001 63`));
    expect(client.takes()).toEqual(["CONNACK present=0 code=1"]);
  }
});

describe("closes the connection without CONNACK for", () => {
  const malformed: Record<string, string> = {
    "[MQTT311-3.1.2-1] an unknown protocol name": "10 0d 0004 4d515455 04 02 0000 0001 63",
    "a protocol name in another case": "10 0d 0004 6d717474 04 02 0000 0001 63",
    "[MQTT311-3.1.2-3] the reserved flag": "10 0d 0004 4d515454 04 03 0000 0001 63",
    "[MQTT311-3.1.2-13] will QoS without a will": "10 0d 0004 4d515454 04 0a 0000 0001 63",
    "[MQTT311-3.1.2-15] will retain without a will": "10 0d 0004 4d515454 04 22 0000 0001 63",
    "[MQTT311-3.1.2-14] will QoS 3": "10 13 0004 4d515454 04 1e 0000 0001 63 0001 77 0001 78",
    "[MQTT311-3.1.2-22] a password without a user name":
      "10 10 0004 4d515454 04 42 0000 0001 63 0001 70",
    "[MQTT311-3.1.2-19] a user name that is missing": "10 0d 0004 4d515454 04 82 0000 0001 63",
    "[MQTT311-3.1.2-21] a password that is missing":
      "10 10 0004 4d515454 04 c2 0000 0001 63 0001 75",
    "[MQTT311-3.1.3-4] an ill-formed client identifier": "10 0e 0004 4d515454 04 02 0000 0002 c328",
    "a client identifier beyond the packet": "10 0d 0004 4d515454 04 02 0000 0009 63",
    "bytes after the last field": "10 0e 0004 4d515454 04 02 0000 0001 63 00",
    "a truncated variable header": "10 06 0004 4d515454",
    "flags in the first byte": "11 0d 0004 4d515454 04 02 0000 0001 63",
    "[MQTT311-3.1.3-11] an ill-formed user name":
      "10 11 0004 4d515454 04 82 0000 0001 63 0002 c328",
    "[MQTT311-3.1.3-10] an ill-formed will topic":
      "10 14 0004 4d515454 04 06 0000 0001 63 0002 c328 0001 78",
    "a will topic with a wildcard": "10 13 0004 4d515454 04 06 0000 0001 63 0001 23 0001 78",
    "[MQTT311-3.2.2-6] an empty will topic": "10 12 0004 4d515454 04 06 0000 0001 63 0000 0001 78",
  };
  test.each(Object.entries(malformed))("%s", (_, bytes) => {
    const client = new TestBroker().open().send(hex(bytes));
    expect(client.takes()).toEqual([]);
    expect(client.ended).toBe(EffectKind.Abort);
  });
});

test("[MQTT311-3.1.0-1] closes the connection on a first packet that is not CONNECT", () => {
  for (const packet of [pingreq, publish("a", "x"), disconnect, hex("20020000")]) {
    const client = new TestBroker().open().send(packet);
    expect(client.ended).toBe(EffectKind.Abort);
    expect(client.takes()).toEqual([]);
  }
});

test("[MQTT311-3.1.0-2] closes the connection on a second CONNECT", () => {
  const client = new TestBroker().connected().connects();
  expect(client.ended).toBe(EffectKind.Close);
  expect(client.reason).toBe(Reason.ProtocolError);
});

test("3.1 accepts a CONNECT whose flags announce a user name and a password that are missing", () => {
  const client = new TestBroker().open();
  client.send(hex("10 0f 0006 4d5149736470 03 c2 0000 0001 63"));
  expect(client.takes()).toEqual(["CONNACK present=0 code=0"]);
});

test("[MQTT311-3.2.0-1] sends CONNACK before anything else", () => {
  const world = new TestBroker();
  world.drains = false;
  const client = world.open();
  client.send(concat(connect(), hex("82 06 0001 0001 61 00"), publish("a", "x"), pingreq));
  world.drain();
  expect(client.takes()).toEqual([
    "CONNACK present=0 code=0",
    "SUBACK #1 0",
    "PINGRESP",
    'PUBLISH a "x" q0',
  ]);
});

test("CONNECT and DISCONNECT in one chunk are handled in order", () => {
  const world = new TestBroker();
  const client = world.open().send(concat(connect(), disconnect));
  expect(world.count("clientsConnected")).toBe(0);
  expect(client.takes()).toEqual(["CONNACK present=0 code=0"]);
  expect(client.ended).toBe(EffectKind.Close);
});

test("[MQTT311-3.1.4-4] [MQTT-3.1.4-5] answers every packet of a chunk that ends in DISCONNECT", () => {
  const world = new TestBroker();
  const message = publish("a", "x", { qos: 1, id: 7 });
  const client = world.open();
  client.send(concat(connect(), subscribe(1, ["t", 0]), message, disconnect, pingreq));
  expect(client.takes()).toEqual(["CONNACK present=0 code=0", "SUBACK #1 0", "PUBACK #7"]);
  expect(client.ended).toBe(EffectKind.Close);
});

test("waits at most a second for a disconnecting client to take its replies", () => {
  const world = new TestBroker();
  const client = world.open();
  client.writable(false);
  client.send(concat(connect(), disconnect));
  expect(world.count("clientsConnected")).toBe(0);
  world.advance(1000);
  expect(client.ended).toBe(EffectKind.Close);
});

test("[MQTT311-3.1.4-5] handles nothing after a refused CONNECT", () => {
  const world = new TestBroker();
  const client = world.open();
  client.send(concat(connect({ clientId: "", clean: false }), publish("a", "x")));
  expect(client.takes()).toEqual(["CONNACK present=0 code=2"]);
  expect(world.count("publishesReceived")).toBe(0);
});

test("ignores bytes, writability and decisions for a connection that has ended", () => {
  const world = new TestBroker();
  const client = world.connected();
  client.cut();
  expect(world.broker.handleBytes(client.conn, pingreq, world.now)).toBe(true);
  world.broker.handleWritable(client.conn, false, world.now);
  world.broker.handleDecision(client.conn, { kind: "allow" }, world.now);
  const next = world.connected();
  expect(next.conn).not.toBe(client.conn);
  next.send(pingreq);
  expect(next.takes()).toEqual(["PINGRESP"]);
});
