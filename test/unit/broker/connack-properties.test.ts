/** The limits that CONNACK announces to an MQTT 5.0 client, and what happens beyond them. */
import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { disconnectWith } from "../../support/packets.ts";

test("[MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-11] CONNACK announces Maximum QoS, SUBACK grants at most that, and a PUBLISH above it ends the connection", () => {
  for (const qosMax of [0, 1]) {
    const world = new TestBroker({ limits: { qosMax } });
    const client = world.connected({ level: 5 });
    expect(client.connack).toContain(` MaximumQoS=${qosMax}`);
    client.subscribes(1, ["a", 0], ["b", 1], ["c", 2]);
    expect(client.takes()).toEqual([qosMax === 0 ? "SUBACK #1 0 0 0" : "SUBACK #1 0 1 1"]);
    client.publishes("a", "", { qos: qosMax + 1 });
    expect(client.takes()).toEqual(["DISCONNECT QoSNotSupported ReasonString"]);
    expect(client.isOpen).toBe(false);
  }
});

test("[MQTT-3.2.2-12] refuses a will above Maximum QoS", () => {
  const client = new TestBroker({ limits: { qosMax: 1 } }).open();
  client.connects({ level: 5, will: { topic: "w", qos: 2 } });
  expect(client.takes()).toEqual(["CONNACK present=0 QoSNotSupported ReasonString"]);
  expect(client.isOpen).toBe(false);
});

test("[MQTT-3.2.2-13] [MQTT-3.2.2-14] with retainAvailable 0, CONNACK says so, and a PUBLISH or will with RETAIN is refused", () => {
  const world = new TestBroker({ limits: { retainAvailable: 0 } });
  const refused = world.open().connects({ level: 5, will: { topic: "w", retain: true } });
  expect(refused.takes()).toEqual(["CONNACK present=0 RetainNotSupported ReasonString"]);
  const client = world.connected({ level: 5 });
  expect(client.connack).toContain(" RetainAvailable=0");
  client.publishes("a", "x", { retain: true });
  expect(client.takes()).toEqual(["DISCONNECT RetainNotSupported ReasonString"]);
  expect(client.isOpen).toBe(false);
  expect(world.count("retainedMessages")).toBe(0);
});

test("CONNACK announces the subscription features that are switched off, and SUBACK refuses them", () => {
  const limits = { wildcardAvailable: 0, sharedAvailable: 0, subscriptionIdAvailable: 0 };
  const client = new TestBroker({ limits }).connected({ level: 5 });
  expect(client.connack).toContain(" WildcardSubscriptionAvailable=0");
  expect(client.connack).toContain(" SharedSubscriptionAvailable=0");
  expect(client.connack).toContain(" SubscriptionIdentifierAvailable=0");
  client.subscribes(1, ["a/#", 0], ["$share/g/a", 0], ["a", 0]);
  expect(client.takes()).toEqual([
    "SUBACK #1 WildcardSubscriptionsNotSupported SharedSubscriptionsNotSupported 0 ReasonString",
  ]);
  client.subscribes(1, ["b", 0], { SubscriptionIdentifier: 1 });
  expect(client.takes()).toEqual(["SUBACK #1 SubscriptionIdentifiersNotSupported ReasonString"]);
});

test("[MQTT-3.2.2-21] Server Keep Alive replaces a longer keep alive, and a keep alive of 0", () => {
  for (const [keepAlive, announced] of [
    [0, 10],
    [100, 10],
    [10, undefined],
    [5, undefined],
  ] as const) {
    const world = new TestBroker({ limits: { keepAliveSecondsMax: 10 } });
    const client = world.connected({ level: 5, keepAlive });
    expect(numberIn(client.connack, "ServerKeepAlive")).toBe(announced);
    world.advance((announced ?? keepAlive) * 1500 - 1);
    expect(client.isOpen).toBe(true);
    world.advance(2);
    expect(client.takes()).toEqual(["DISCONNECT KeepAliveTimeout ReasonString"]);
    expect(client.isOpen).toBe(false);
  }
});

test("CONNACK shortens a Session Expiry Interval beyond sessionMillisMax", () => {
  const world = new TestBroker({ limits: { sessionMillisMax: 60_000 } });
  const client = world.connected({ level: 5, props: { SessionExpiryInterval: 0xffff_ffff } });
  expect(numberIn(client.connack, "SessionExpiryInterval")).toBe(60);
  client.cut();
  world.advance(60_001);
  expect(world.count("sessions")).toBe(0);
});

test("sessionMillisMax also bounds a Session Expiry Interval in DISCONNECT", () => {
  const world = new TestBroker({ limits: { sessionMillisMax: 60_000 } });
  const client = world.connected({ level: 5, props: { SessionExpiryInterval: 10 } });
  client.send(disconnectWith(0, { SessionExpiryInterval: 0xffff_ffff }));
  world.advance(59_999);
  expect(world.count("sessions")).toBe(1);
  world.advance(1);
  expect(world.count("sessions")).toBe(0);
});

test("[MQTT-3.2.2-15] CONNACK leaves out properties that have their default value", () => {
  const broadest = { packetBytesMax: 268_435_460, receiveMax: 65_535, topicAliasMax: 0 };
  const props = { SessionExpiryInterval: 100 };
  const { connack } = new TestBroker({ limits: broadest }).connected({
    level: 5,
    props,
    keepAlive: 60,
  });
  expect(connack).toBe("CONNACK present=0");
});

test("CONNACK announces a Maximum Packet Size of at most packetBytesMax, and at most the longest packet MQTT allows", () => {
  for (const [packetBytesMax, announced] of [
    [128, 128],
    [268_435_455, 268_435_455],
    [268_435_456, 268_435_455],
    [268_435_459, 268_435_455],
    [268_435_460, undefined],
  ] as const) {
    const { connack } = new TestBroker({ limits: { packetBytesMax } }).connected({ level: 5 });
    expect(numberIn(connack, "MaximumPacketSize")).toBe(announced);
  }
});

/** The value of a property in a line; undefined if the packet does not have the property. */
function numberIn(line: string, property: string): number | undefined {
  const value = new RegExp(` ${property}=(\\d+)`).exec(line)?.[1];
  return value === undefined ? undefined : Number(value);
}
