/** What 5.0 lets clients say of subscriptions, sessions and messages, where our choice or a limit shows. */
import { expect, test } from "vitest";
import { ConfigError, type PropertyValues, Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client, packetsTo } from "../../support/mqtt5-client.ts";

test("overlapping subscriptions deliver RETAIN as published where one of them asks for it", () => {
  const world = new TestBroker();
  const RAP = 0b1000;
  const client = new Mqtt5Client(world);
  client.send(
    wire.subscribe(5, 1, [
      ["a/b", 0],
      ["a/+", RAP],
      ["a/#", 0],
    ]),
  );
  client.takes();
  const publisher = world.connected("p");
  publisher.send(wire.publish(4, { topic: "a/b", payload: "x", retain: true }));
  expect(client.takes().map(({ retain }) => retain)).toEqual([true]);
});

test("[MQTT-3.3.4-7] a PUBLISH that was refused does not count in the Receive Maximum", () => {
  const client = new Mqtt5Client(new TestBroker({ limits: { receiveMax: 2 } }));
  for (let id = 1; id <= 6; id++) client.send(wire.publish(5, { topic: "$SYS/no", qos: 2, id }));
  expect(client.takes().map(({ type, reason }) => [type, reason])).toEqual(
    Array(6).fill(["PUBREC", 0x87]),
  );
  expect(client.client.isOpen).toBe(true);
});

test("[MQTT-3.3.2-5] a retained message whose time is over is gone, and its memory free", () => {
  const world = new TestBroker();
  const publisher = new Mqtt5Client(world);
  const fields = { topic: "a", payload: "x", retain: true };
  publisher.send(wire.publish(5, { ...fields, props: { MessageExpiryInterval: 10 } }));
  world.advance(9999);
  expect([world.count("retainedMessages"), world.count("messages")]).toEqual([1, 1]);
  world.advance(1);
  expect([world.count("retainedMessages"), world.count("messages")]).toEqual([0, 0]);
});

test("[MQTT-3.2.2-15] CONNACK says nothing that a client assumes without being told", () => {
  const broadest = { packetBytesMax: 268_435_460, receiveMax: 65_535, topicAliasMax: 0 };
  const props = { SessionExpiryInterval: 100 };
  const { connack } = new Mqtt5Client(new TestBroker({ limits: broadest }), {
    props,
    keepAlive: 60,
  });
  expect(connack.props).toEqual({});
});

test("a Maximum Packet Size is told as a number that clients take, and is at most the limit", () => {
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

test("a session expiry in DISCONNECT is cut to ours too", () => {
  const world = new TestBroker({ limits: { sessionMillisMax: 60_000 } });
  const client = new Mqtt5Client(world, { props: { SessionExpiryInterval: 10 } });
  client.send(wire.disconnect(0, { SessionExpiryInterval: 0xffff_ffff }));
  world.advance(59_999);
  expect(world.count("sessions")).toBe(1);
  world.advance(1);
  expect(world.count("sessions")).toBe(0);
});

test("[MQTT-3.3.2-17] [MQTT-3.3.2-18] properties keep their order also around those that are not passed on", () => {
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

test("[MQTT-3.3.2-14] a message of the program's own has what a PUBLISH may have, or is refused", () => {
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
  "[MQTT-3.3.2-14] [MQTT-4.7.3-1] %j is no Response Topic, of a PUBLISH or of a will",
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

test("a will that says it is text is checked where that is switched on", () => {
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

/** What a subscriber of 5.0 that takes `max` aliases is sent of messages to `topics`: alias and name of each. */
function aliasesOf(
  topics: readonly string[],
  max: number,
  topicAliasOutMax = 64,
): [unknown, string][] {
  const world = new TestBroker({ limits: { topicAliasOutMax } });
  const reader = new Mqtt5Client(world, { clientId: "r", props: { TopicAliasMaximum: max } });
  reader.send(wire.subscribe(5, 1, [["#", 0]])).takes();
  const publisher = world.connected("p");
  for (const topic of topics) publisher.send(wire.publish(4, { topic }));
  return reader.takes().map(({ props, topic }) => [props["TopicAlias"], topic!]);
}

test("aliases towards a client stay within our own maximum too", () => {
  const topics = Array.from({ length: 40 }, (_, n) => `a/long/topic/name/${Math.floor(n / 4)}`);
  const aliases = aliasesOf(topics, 100, 2).map(([alias]) => alias);
  expect(new Set(aliases)).toEqual(new Set([undefined, 1, 2]));
});

test("a topic has its alias from the first message, and its name no more from the second", () => {
  expect(aliasesOf(["topicA", "topicA", "topicA"], 1)).toEqual([
    [1, "topicA"],
    [1, ""],
    [1, ""],
  ]);
  // Three bytes in each packet are more than a short name is worth.
  expect(aliasesOf(["short", "short"], 1)).toEqual(Array(2).fill([undefined, "short"]));
});

test("topics that come in turn have an alias each while there are any, wherever their places are", () => {
  const topics = Array.from({ length: 32 }, (_, n) => `topic/${n}`);
  const sent = aliasesOf([...topics, ...topics], 64);
  expect(new Set(sent.slice(0, 32).map(([alias]) => alias)).size).toBe(32);
  expect(sent.slice(32)).toEqual(sent.slice(0, 32).map(([alias]) => [alias, ""]));
});

test("where every alias is taken topics in turn push none out, and one that comes again and again gets one", () => {
  const topics = Array.from({ length: 30 }, (_, n) => `topic/${n}`);
  const sent = aliasesOf([...topics, ...topics, ...topics], 4);
  const named = sent.slice(0, 30).filter(([alias]) => alias !== undefined);
  expect(named.length).toBe(4);
  for (const round of [sent.slice(30, 60), sent.slice(60)]) {
    expect(round.filter(([, name]) => name === "")).toEqual(named.map(([alias]) => [alias, ""]));
    expect(round.filter(([alias]) => alias === undefined)).toHaveLength(26);
  }
  const again = aliasesOf([...topics, ...Array(4).fill("topic/29")], 4).slice(30);
  expect(again[0]).toEqual([expect.any(Number), "topic/29"]);
  expect(again.slice(1)).toEqual(Array(3).fill([again[0]![0], ""]));
});

test("[MQTT-3.8.3-3] [MQTT-3.8.4-3] what comes back to its publisher is by the options that it gave last", () => {
  const NO_LOCAL = 0b100;
  const client = new Mqtt5Client(new TestBroker());
  client.send(wire.subscribe(5, 1, [["#", NO_LOCAL]]));
  for (const [options, expected] of [
    [0, [0]],
    [1, [1]],
    [NO_LOCAL, []],
    [0, [0]],
  ] as const) {
    client.send(wire.subscribe(5, 2, [["t", options]])).takes();
    client.send(wire.publish(5, { topic: "t", qos: 1, id: 3 }));
    const came = client.takes().filter(({ type }) => type === "PUBLISH");
    expect(came.map(({ qos }) => qos)).toEqual(expected);
  }
});

test("[MQTT-3.8.3-3] what a client publishes comes back by those of its subscriptions without No Local, in whatever order they were made", () => {
  const NO_LOCAL = 0b100;
  const subscriptions: readonly (readonly [filter: string, options: number, id: number])[] = [
    ["a/b", 0 | NO_LOCAL, 1],
    ["a/+", 1, 2],
    ["a/#", 2 | NO_LOCAL, 3],
    ["#", 0, 4],
    ["+/b", 0, 0],
  ];
  for (const order of permutations(subscriptions)) {
    const world = new TestBroker();
    const client = new Mqtt5Client(world);
    for (const [filter, options, id] of order) {
      const props = id === 0 ? {} : { SubscriptionIdentifier: id };
      client.send(wire.subscribe(5, 1, [[filter, options]], props));
    }
    client.send(wire.publish(5, { topic: "a/b", qos: 2, id: 1 }));
    const other = world.connected("other").send(wire.publish(4, { topic: "a/b", qos: 2, id: 1 }));
    other.takes();
    const delivered = client.takes().filter(({ type }) => type === "PUBLISH");
    expect(
      delivered.map(({ qos, props }) => [qos, [props["SubscriptionIdentifier"]].flat().sort()]),
    ).toEqual([
      [1, [2, 4]],
      [2, [1, 2, 3, 4]],
    ]);
    expect(world.count("messages")).toBe(2);
  }
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, n) =>
    permutations(items.toSpliced(n, 1)).map((rest) => [item, ...rest]),
  );
}
