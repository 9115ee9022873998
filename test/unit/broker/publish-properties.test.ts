/** The properties of a message: validated, passed on, given by the host. */
import { expect, test } from "vitest";
import { ConfigError, type PropertyValues, Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client, packetsTo } from "../../support/mqtt5-client.ts";

test("with payloadFormatCheck, a PUBLISH that declares UTF-8 must have a UTF-8 payload", () => {
  const world = new TestBroker({ limits: { payloadFormatCheck: 1 } });
  const client = new Mqtt5Client(world);
  const fields = { topic: "a", qos: 1, props: { PayloadFormatIndicator: 1 } };
  client.send(
    wire.publish(5, { ...fields, id: 1, payload: "tëxt\0" }),
    wire.publish(5, { ...fields, id: 2, payload: Uint8Array.of(0xff) }),
    wire.publish(5, { topic: "a", qos: 1, id: 3, payload: Uint8Array.of(0xff) }),
  );
  expect(client.takes().map(({ id, reason }) => [id, reason])).toEqual([
    [1, Reason.NoMatchingSubscribers],
    [2, Reason.PayloadFormatInvalid],
    [3, Reason.NoMatchingSubscribers],
  ]);
});

test("with payloadFormatCheck, a will that declares UTF-8 must have a UTF-8 payload", () => {
  const world = new TestBroker({ limits: { payloadFormatCheck: 1 } });
  const props = { PayloadFormatIndicator: 1 };
  // Written as text, and no text any more.
  const bytes = wire.connect(5, { clientId: "w", will: { topic: "w", payload: "ok?", props } });
  bytes[bytes.length - 1] = 0xff;
  const client = world.open();
  client.send(bytes);
  expect(packetsTo(client).map(({ reason }) => reason)).toEqual([Reason.PayloadFormatInvalid]);
  new Mqtt5Client(world, { clientId: "w", will: { topic: "w", payload: "ok?", props } });
  expect(world.count("clientsConnected")).toBe(1);
});

test("[MQTT-3.3.2-17] [MQTT-3.3.2-18] User Properties keep their order around properties that are not forwarded", () => {
  const world = new TestBroker();
  const reader = new Mqtt5Client(world, { clientId: "r" }).send(wire.subscribe(5, 1, [["a", 0]]));
  reader.takes();
  const pair = (key: string): number[] => [0x26, ...wire.text(key), ...wire.text("")];
  const expiry = [0x02, 0, 0, 0, 60];
  const alias = [0x23, 0, 1];
  const fields = [...pair("1"), ...expiry, ...pair("3"), ...pair("2"), ...alias, ...pair("4")];
  const publisher = new Mqtt5Client(world, { clientId: "p" });
  publisher.send(wire.packet(0x30, wire.text("a"), [fields.length], fields, wire.text("x")));
  const [message] = reader.takes();
  expect(message!.props).toEqual({
    MessageExpiryInterval: 60,
    UserProperty: ["1", "3", "2", "4"].map((key) => [key, ""]),
  });
});

test("a message that the host publishes carries its properties, and its event has them", () => {
  const world = new TestBroker();
  const reader = new Mqtt5Client(world).send(wire.subscribe(5, 1, [["a", 0]]));
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
  world.broker.handleCommand(command, world.now);
  world.drain();
  expect(reader.takes()[0]!.props).toEqual(properties);
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
    const reader = new Mqtt5Client(world, { clientId: "reader" });
    reader.send(wire.subscribe(5, 1, [["t", 2]]));
    reader.takes();
    const props = { ResponseTopic: topic };
    for (const qos of [0, 1, 2]) {
      const client = new Mqtt5Client(world).send(wire.publish(5, { topic: "t", qos, props }));
      expect(client.disconnectReason()).toBe(Reason.ProtocolError);
    }
    const refused = new Mqtt5Client(world, { clientId: "w", will: { topic: "t", props } });
    expect(refused.connack.reason).toBe(Reason.ProtocolError);
    expect(refused.client.isOpen).toBe(false);
    expect(reader.takes()).toEqual([]);
  },
);
