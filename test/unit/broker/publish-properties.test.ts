/** The properties of a message: validated, passed on, given by the host. */
import { expect, test } from "vitest";
import { ConfigError, type PropertyValues } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { connect } from "../../support/packets.ts";

test("with payloadFormatCheck, a PUBLISH that declares UTF-8 must have a UTF-8 payload", () => {
  const world = new TestBroker({ limits: { payloadFormatCheck: 1 } });
  const client = world.connected({ level: 5 });
  const props = { PayloadFormatIndicator: 1 };
  client.publishes("a", "tëxt\0", { qos: 1, id: 1, props });
  client.publishes("a", Uint8Array.of(0xff), { qos: 1, id: 2, props });
  client.publishes("a", Uint8Array.of(0xff), { qos: 1, id: 3 });
  expect(client.takes()).toEqual([
    "PUBACK #1 NoMatchingSubscribers",
    "PUBACK #2 PayloadFormatInvalid ReasonString",
    "PUBACK #3 NoMatchingSubscribers",
  ]);
});

test("with payloadFormatCheck, a will that declares UTF-8 must have a UTF-8 payload", () => {
  const world = new TestBroker({ limits: { payloadFormatCheck: 1 } });
  const props = { PayloadFormatIndicator: 1 };
  // The payload is encoded as text; the last byte then makes it invalid UTF-8.
  const bytes = connect({ level: 5, clientId: "w", will: { topic: "w", payload: "ok?", props } });
  bytes[bytes.length - 1] = 0xff;
  const client = world.open();
  client.send(bytes);
  expect(client.takes()).toEqual(["CONNACK present=0 PayloadFormatInvalid ReasonString"]);
  world.connected({ level: 5, clientId: "w", will: { topic: "w", payload: "ok?", props } });
  expect(world.count("clientsConnected")).toBe(1);
});

test("[MQTT-3.3.2-17] [MQTT-3.3.2-18] User Properties keep their order around properties that are not forwarded", () => {
  const world = new TestBroker();
  const reader = world.connected({ level: 5, clientId: "r" }).subscribes(1, ["a", 0]);
  reader.takes();
  const pair = (key: string): number[] => [0x26, ...wire.text(key), ...wire.text("")];
  const expiry = [0x02, 0, 0, 0, 60];
  const alias = [0x23, 0, 1];
  const fields = [...pair("1"), ...expiry, ...pair("3"), ...pair("2"), ...alias, ...pair("4")];
  const publisher = world.connected({ level: 5, clientId: "p" });
  publisher.send(wire.packet(0x30, wire.text("a"), [fields.length], fields, [0x78]));
  expect(reader.takes()).toEqual([
    'PUBLISH a "x" q0 MessageExpiryInterval=60 UserProperty="1":"","3":"","2":"","4":""',
  ]);
});

test("a message that the host publishes carries its properties, and its event has them", () => {
  const world = new TestBroker();
  const reader = world.connected({ level: 5 }).subscribes(1, ["a", 0]);
  reader.takes();
  world.broker.handleCommand({ kind: "observe", publishes: true }, world.now);
  const properties = {
    ContentType: "x",
    UserProperty: [["k", "v"]] as const,
    MessageExpiryInterval: 5,
  };
  const payload = new TextEncoder().encode("hello");
  const command = {
    kind: "publish",
    topic: "a",
    payload,
    qos: 0,
    retain: false,
    properties,
  } as const;
  world.command(command);
  expect(reader.takes()).toEqual([
    'PUBLISH a "hello" q0 MessageExpiryInterval=5 ContentType="x" UserProperty="k":"v"',
  ]);
  const published = world.events().find(({ kind }) => kind === "published");
  expect(published).toMatchObject({ properties: { ContentType: "x", UserProperty: [["k", "v"]] } });
});

test("[MQTT-3.3.2-14] a message that the host publishes is refused if a property is not valid in PUBLISH", () => {
  const world = new TestBroker();
  const publish = (properties: PropertyValues) => (): void =>
    world.broker.handleCommand(
      { kind: "publish", topic: "a", payload: new Uint8Array(1), qos: 0, retain: true, properties },
      world.now,
    );
  for (const properties of [
    { ResponseTopic: "a/#" },
    { ResponseTopic: "" },
    { ContentType: "\0" },
    { ContentType: "x".repeat(65_536) },
    { UserProperty: [["k", "x".repeat(70_000)]] as const },
    { PayloadFormatIndicator: 2 },
    { MessageExpiryInterval: -1 },
    { MessageExpiryInterval: 2 ** 32 },
    { MessageExpiryInterval: 0.5 },
    { TopicAlias: 1 },
    { SubscriptionIdentifier: 1 },
    { ReceiveMaximum: 1 },
  ]) {
    expect(publish(properties), JSON.stringify(properties).slice(0, 60)).toThrow(ConfigError);
  }
  expect(world.count("retainedMessages")).toBe(0);
  publish({ ResponseTopic: "a", MessageExpiryInterval: 2 ** 32 - 1, PayloadFormatIndicator: 1 })();
  expect(world.count("retainedMessages")).toBe(1);
});

test.each(["", "a/#", "+", "+/a"])(
  "[MQTT-3.3.2-14] [MQTT-4.7.3-1] refuses the Response Topic %j in a PUBLISH and in a will",
  (topic) => {
    const world = new TestBroker();
    const reader = world.connected({ level: 5, clientId: "reader" });
    reader.subscribes(1, ["t", 2]);
    reader.takes();
    const props = { ResponseTopic: topic };
    for (const qos of [0, 1, 2]) {
      const client = world.connected({ level: 5 }).publishes("t", "", { qos, props });
      expect(client.takes()).toEqual(["DISCONNECT ProtocolError ReasonString"]);
      expect(client.isOpen).toBe(false);
    }
    const refused = world.open().connects({ level: 5, clientId: "w", will: { topic: "t", props } });
    expect(refused.takes()).toEqual(["CONNACK present=0 ProtocolError"]);
    expect(refused.isOpen).toBe(false);
    expect(reader.takes()).toEqual([]);
  },
);
