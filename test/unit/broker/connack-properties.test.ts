/** The limits that CONNACK announces to an MQTT 5.0 client, and what happens beyond them. */
import { expect, test } from "vitest";
import { Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";

test("[MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-11] CONNACK announces Maximum QoS, SUBACK grants at most that, and a PUBLISH above it ends the connection", () => {
  for (const qosMax of [0, 1]) {
    const world = new TestBroker({ limits: { qosMax } });
    const client = new Mqtt5Client(world);
    expect(client.connack.props["MaximumQoS"]).toBe(qosMax);
    client.send(
      wire.subscribe(5, 1, [
        ["a", 0],
        ["b", 1],
        ["c", 2],
      ]),
    );
    expect(client.takes()[0]!.reasons).toEqual([0, 1, 2].map((qos) => Math.min(qos, qosMax)));
    client.send(wire.publish(5, { topic: "a", qos: qosMax + 1 }));
    expect(client.disconnectReason()).toBe(Reason.QoSNotSupported);
  }
});

test("[MQTT-3.2.2-12] refuses a will above Maximum QoS", () => {
  const client = new Mqtt5Client(new TestBroker({ limits: { qosMax: 1 } }), {
    will: { topic: "w", qos: 2 },
  });
  expect(client.connack.reason).toBe(Reason.QoSNotSupported);
  expect(client.client.isOpen).toBe(false);
});

test("[MQTT-3.2.2-13] [MQTT-3.2.2-14] with retainAvailable 0, CONNACK says so, and a PUBLISH or will with RETAIN is refused", () => {
  const world = new TestBroker({ limits: { retainAvailable: 0 } });
  const refused = new Mqtt5Client(world, { will: { topic: "w", retain: true } });
  expect(refused.connack.reason).toBe(Reason.RetainNotSupported);
  const client = new Mqtt5Client(world);
  expect(client.connack.props["RetainAvailable"]).toBe(0);
  client.send(wire.publish(5, { topic: "a", payload: "x", retain: true }));
  expect(client.disconnectReason()).toBe(Reason.RetainNotSupported);
  expect(world.count("retainedMessages")).toBe(0);
});

test("CONNACK announces the subscription features that are switched off, and SUBACK refuses them", () => {
  const limits = { wildcardAvailable: 0, sharedAvailable: 0, subscriptionIdAvailable: 0 };
  const client = new Mqtt5Client(new TestBroker({ limits }));
  expect(client.connack.props).toMatchObject({
    WildcardSubscriptionAvailable: 0,
    SharedSubscriptionAvailable: 0,
    SubscriptionIdentifierAvailable: 0,
  });
  client.send(
    wire.subscribe(5, 1, [
      ["a/#", 0],
      ["$share/g/a", 0],
      ["a", 0],
    ]),
  );
  expect(client.takes()[0]!.reasons).toEqual([0xa2, 0x9e, 0]);
  client.send(wire.subscribe(5, 1, [["b", 0]], { SubscriptionIdentifier: 1 }));
  expect(client.takes()[0]!.reasons).toEqual([0xa1]);
});

test("[MQTT-3.2.2-21] Server Keep Alive replaces a longer keep alive, and a keep alive of 0", () => {
  for (const [keepAlive, told] of [
    [0, 10],
    [100, 10],
    [10, undefined],
    [5, undefined],
  ] as const) {
    const world = new TestBroker({ limits: { keepAliveSecondsMax: 10 } });
    const client = new Mqtt5Client(world, { keepAlive });
    expect(client.connack.props["ServerKeepAlive"]).toBe(told);
    world.advance((told ?? keepAlive) * 1500 - 1);
    expect(client.client.isOpen).toBe(true);
    world.advance(2);
    expect(client.disconnectReason()).toBe(Reason.KeepAliveTimeout);
  }
});

test("CONNACK shortens a Session Expiry Interval beyond sessionMillisMax", () => {
  const world = new TestBroker({ limits: { sessionMillisMax: 60_000 } });
  const client = new Mqtt5Client(world, { props: { SessionExpiryInterval: 0xffff_ffff } });
  expect(client.connack.props["SessionExpiryInterval"]).toBe(60);
  client.client.cut();
  world.advance(60_001);
  expect(world.count("sessions")).toBe(0);
});

test("sessionMillisMax also bounds a Session Expiry Interval in DISCONNECT", () => {
  const world = new TestBroker({ limits: { sessionMillisMax: 60_000 } });
  const client = new Mqtt5Client(world, { props: { SessionExpiryInterval: 10 } });
  client.send(wire.disconnect(0, { SessionExpiryInterval: 0xffff_ffff }));
  world.advance(59_999);
  expect(world.count("sessions")).toBe(1);
  world.advance(1);
  expect(world.count("sessions")).toBe(0);
});

test("[MQTT-3.2.2-15] CONNACK leaves out properties that have their default value", () => {
  const broadest = { packetBytesMax: 268_435_460, receiveMax: 65_535, topicAliasMax: 0 };
  const props = { SessionExpiryInterval: 100 };
  const { connack } = new Mqtt5Client(new TestBroker({ limits: broadest }), {
    props,
    keepAlive: 60,
  });
  expect(connack.props).toEqual({});
});

test("CONNACK announces a Maximum Packet Size of at most packetBytesMax, and at most the longest packet MQTT allows", () => {
  for (const [packetBytesMax, told] of [
    [128, 128],
    [268_435_455, 268_435_455],
    [268_435_456, 268_435_455],
    [268_435_459, 268_435_455],
    [268_435_460, undefined],
  ] as const) {
    const { connack } = new Mqtt5Client(new TestBroker({ limits: { packetBytesMax } }));
    expect(connack.props["MaximumPacketSize"]).toBe(told);
  }
});
