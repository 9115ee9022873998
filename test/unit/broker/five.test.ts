import { expect, test } from "vitest";
import { CloseCause, Counter, Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker, type TestBrokerOptions } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";

function worldWith(limits: TestBrokerOptions["limits"] = {}, options: TestBrokerOptions = {}) {
  return new TestBroker({ ...options, limits: { ...limits } });
}

test("[MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-11] a Maximum QoS is told, kept to, and bounds what is granted", () => {
  for (const qosMax of [0, 1]) {
    const world = worldWith({ qosMax });
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

test("[MQTT-3.2.2-12] a will above the Maximum QoS is refused", () => {
  const client = new Mqtt5Client(worldWith({ qosMax: 1 }), { will: { topic: "w", qos: 2 } });
  expect(client.connack.reason).toBe(Reason.QoSNotSupported);
  expect(client.client.isOpen).toBe(false);
});

test("[MQTT-3.2.2-13] [MQTT-3.2.2-14] where nothing is retained, that is told, and RETAIN refused", () => {
  const world = worldWith({ retainAvailable: 0 });
  const refused = new Mqtt5Client(world, { will: { topic: "w", retain: true } });
  expect(refused.connack.reason).toBe(Reason.RetainNotSupported);
  const client = new Mqtt5Client(world);
  expect(client.connack.props["RetainAvailable"]).toBe(0);
  client.send(wire.publish(5, { topic: "a", payload: "x", retain: true }));
  expect(client.disconnectReason()).toBe(Reason.RetainNotSupported);
  expect(world.count("retainedMessages")).toBe(0);
});

test("features that are switched off are told in CONNACK, and refused by the SUBACK", () => {
  const limits = { wildcardAvailable: 0, sharedAvailable: 0, subscriptionIdAvailable: 0 };
  const client = new Mqtt5Client(worldWith(limits));
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

test("[MQTT-3.2.2-21] a Server Keep Alive replaces a longer one, and none", () => {
  for (const [keepAlive, told] of [
    [0, 10],
    [100, 10],
    [10, undefined],
    [5, undefined],
  ] as const) {
    const world = worldWith({ keepAliveSecondsMax: 10 });
    const client = new Mqtt5Client(world, { keepAlive });
    expect(client.connack.props["ServerKeepAlive"]).toBe(told);
    world.advance((told ?? keepAlive) * 1500 - 1);
    expect(client.client.isOpen).toBe(true);
    world.advance(2);
    expect(client.disconnectReason()).toBe(Reason.KeepAliveTimeout);
  }
});

test("a session expiry beyond ours is cut, and told", () => {
  const world = worldWith({ sessionMillisMax: 60_000 });
  const client = new Mqtt5Client(world, { props: { SessionExpiryInterval: 0xffff_ffff } });
  expect(client.connack.props["SessionExpiryInterval"]).toBe(60);
  client.client.cut();
  world.advance(60_001);
  expect(world.count("sessions")).toBe(0);
});

test("[MQTT-3.3.4-7] [MQTT-3.3.4-8] more than our Receive Maximum, unanswered, are refused with 0x93; what has been answered does not count", () => {
  const world = worldWith({ receiveMax: 3 });
  const client = new Mqtt5Client(world);
  expect(client.connack.props["ReceiveMaximum"]).toBe(3);
  for (let id = 1; id <= 10; id++) client.send(wire.publish(5, { topic: "a", qos: 1, id }));
  expect(client.takes().map(({ type }) => type)).toEqual(Array(10).fill("PUBACK"));
  for (let id = 1; id <= 3; id++) client.send(wire.publish(5, { topic: "a", qos: 2, id }));
  client.send(wire.ack(wire.Pubrel, 1), wire.publish(5, { topic: "a", qos: 2, id: 4 }));
  expect(client.takes().map(({ type }) => type)).toEqual([
    ...["PUBREC", "PUBREC", "PUBREC", "PUBCOMP", "PUBREC"],
  ]);
  // An identifier that is not known makes no room.
  client.send(wire.ack(wire.Pubrel, 99));
  expect(client.takes()[0]!.reason).toBe(Reason.PacketIdentifierNotFound);
  client.send(wire.publish(5, { topic: "a", qos: 1, id: 5 }));
  expect(client.disconnectReason()).toBe(Reason.ReceiveMaximumExceeded);
});

test("a QoS 2 message that comes again does not use up the Receive Maximum", () => {
  const world = worldWith({ receiveMax: 2 });
  const kept = { clean: false, props: { SessionExpiryInterval: 100 } };
  const first = new Mqtt5Client(world, kept);
  first.send(wire.publish(5, { topic: "a", qos: 2, id: 1 })).client.cut();
  const client = new Mqtt5Client(world, kept);
  for (let n = 0; n < 5; n++) {
    client.send(wire.publish(5, { topic: "a", qos: 2, id: 1, dup: true }));
  }
  client.send(wire.ack(wire.Pubrel, 1));
  client.send(wire.publish(5, { topic: "a", qos: 2, id: 2 }));
  client.send(wire.publish(5, { topic: "a", qos: 2, id: 3 }));
  expect(client.client.isOpen).toBe(true);
  client.send(wire.publish(5, { topic: "a", qos: 2, id: 4 }));
  expect(client.client.isOpen).toBe(false);
});

test("QoS 2 messages that an earlier connection left open are no part of the Receive Maximum", () => {
  const world = worldWith({ receiveMax: 1 });
  const kept = { clean: false, props: { SessionExpiryInterval: 100 } };
  const first = new Mqtt5Client(world, kept);
  first.send(wire.publish(5, { topic: "a", qos: 2, id: 1 })).client.cut();
  const client = new Mqtt5Client(world, kept);
  client.send(wire.publish(5, { topic: "a", qos: 2, id: 2 }), wire.ack(wire.Pubrel, 1));
  expect(client.takes().map(({ type }) => type)).toEqual(["PUBREC", "PUBCOMP"]);
});

test("a payload that says it is text is checked where that is switched on", () => {
  const world = worldWith({ payloadFormatCheck: 1 });
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

test("where there is nobody to get it, the acknowledgement says so", () => {
  const world = worldWith();
  const client = new Mqtt5Client(world);
  client.send(
    wire.publish(5, { topic: "a", qos: 1, id: 1 }),
    wire.publish(5, { topic: "a", qos: 2, id: 2 }),
  );
  expect(client.takes().map(({ reason }) => reason)).toEqual([0x10, 0x10]);
  client.send(wire.subscribe(5, 3, [["a", 0]]), wire.publish(5, { topic: "a", qos: 1, id: 4 }));
  expect(client.takes().find(({ type }) => type === "PUBACK")!.reason).toBe(0);
});

test("[MQTT-3.14.2-2] a shutdown tells 0x8B, after what was owed", () => {
  const world = worldWith();
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

test("DISCONNECT waits for a transport that takes no bytes, but not for long", () => {
  for (const isBackInTime of [true, false]) {
    const world = worldWith();
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

test("a transport that does not take its DISCONNECT is nobody's once it is closed", () => {
  const world = worldWith();
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

test("a kick tells 0x98, and a move where to go, also to those who come", () => {
  const world = worldWith();
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

test("QoS 1 messages that a member of a shared subscription leaves behind go to another", () => {
  const world = worldWith();
  const first = new Mqtt5Client(world, {
    clientId: "first",
    props: { SessionExpiryInterval: 100 },
  });
  first.send(wire.subscribe(5, 1, [["$share/g/a", 1]]));
  first.takes();
  const publisher = world.connected("p");
  for (let n = 0; n < 30; n++)
    publisher.send(wire.publish(4, { topic: "a", payload: `${n}`, qos: 1, id: n + 1 }));
  expect(first.takes()).toHaveLength(20);
  first.client.cut();
  const second = new Mqtt5Client(world, { clientId: "second" }).send(
    wire.subscribe(5, 1, [["$share/g/a", 1]]),
  );
  expect(second.takes().map(({ type }) => type)).toEqual(["SUBACK"]);
  world.advance(100_001);
  const got: string[] = [];
  for (;;) {
    const packets = second.takes();
    if (packets.length === 0) break;
    got.push(...packets.map(({ payload }) => payload));
    second.send(...packets.map(({ id }) => wire.ack(wire.Puback, id)));
  }
  expect(new Set(got)).toEqual(new Set(Array.from({ length: 30 }, (_, n) => `${n}`)));
  expect(world.count("messages")).toBe(0);
});

test("a shared subscription prefers members who are there and have room", () => {
  const world = worldWith();
  const filter = "$share/g/a";
  const away = new Mqtt5Client(world, { clientId: "away", props: { SessionExpiryInterval: 100 } });
  away.send(wire.subscribe(5, 1, [[filter, 1]])).client.cut();
  const tight = new Mqtt5Client(world, { clientId: "tight", props: { ReceiveMaximum: 1 } });
  tight.send(wire.subscribe(5, 1, [[filter, 1]])).takes();
  const wide = new Mqtt5Client(world, { clientId: "wide" });
  wide.send(wire.subscribe(5, 1, [[filter, 1]])).takes();
  const publisher = world.connected("p");
  for (let n = 0; n < 10; n++) publisher.send(wire.publish(4, { topic: "a", qos: 1, id: n + 1 }));
  expect(wide.takes().length).toBeGreaterThanOrEqual(9);
  expect(world.count("queued")).toBe(0);
  expect(world.broker.counters[Counter.sharedSubscriptions]).toBe(1);
});

test("a will's delay and its session's end: whichever is sooner, once", () => {
  const world = worldWith();
  const watcher = world.connected("w").send(wire.subscribe(4, 1, [["gone", 0]]));
  watcher.takes();
  const will = { topic: "gone", payload: "x", props: { WillDelayInterval: 30 } };
  for (const [expiry, due] of [
    [10, 10],
    [100, 30],
  ] as const) {
    const client = new Mqtt5Client(world, { will, props: { SessionExpiryInterval: expiry } });
    client.client.cut();
    world.advance(due * 1000 - 10);
    expect(watcher.takes()).toEqual([]);
    world.advance(1000);
    expect(watcher.takes()).toEqual(['PUBLISH gone "x" q0']);
    world.advance(200_000);
    expect(watcher.takes()).toEqual([]);
  }
  expect(world.count("messages")).toBe(0);
});

test("[MQTT-3.1.3-9] a will that waited is forgotten when its client is back: the end of the session does not publish it", () => {
  const world = worldWith();
  const watcher = world.connected("w").send(wire.subscribe(4, 1, [["gone", 0]]));
  watcher.takes();
  const kept = { clean: false, props: { SessionExpiryInterval: 100 } };
  const will = { topic: "gone", payload: "x", props: { WillDelayInterval: 30 } };
  new Mqtt5Client(world, { ...kept, will }).client.cut();
  const back = new Mqtt5Client(world, kept);
  back.send(wire.disconnect(0, { SessionExpiryInterval: 0 }));
  world.advance(200_000);
  expect(watcher.takes()).toEqual([]);
  expect(world.count("messages")).toBe(0);
});

test("topic aliases towards a client save bytes, and survive an emptied table of names", () => {
  const world = worldWith({ topicTableBytesMax: 65_536 });
  const reader = new Mqtt5Client(world, { props: { TopicAliasMaximum: 4 } });
  reader.send(wire.subscribe(5, 1, [["#", 0]])).takes();
  const publisher = world.connected("p");
  const long = "a/rather/long/topic/name";
  const known = new Map<number, string>();
  let shortened = 0;
  for (let n = 0; n < 2000; n++) {
    publisher.send(wire.publish(4, { topic: long, payload: `${n}` }));
    publisher.send(wire.publish(4, { topic: `${long}/${n}` }));
    for (const packet of reader.takes()) {
      const alias = packet.props["TopicAlias"] as number | undefined;
      if (packet.topic !== "" && alias !== undefined) known.set(alias, packet.topic);
      const topic = packet.topic === "" ? known.get(alias!) : packet.topic;
      if (packet.topic === "") shortened++;
      expect(topic).toBe(packet.payload === "" ? `${long}/${n}` : long);
    }
  }
  expect(shortened).toBeGreaterThan(1500);
});

test("aliases that a client sets are counted as input, and let go of with it", () => {
  const world = worldWith();
  const client = new Mqtt5Client(world);
  for (let TopicAlias = 1; TopicAlias <= 32; TopicAlias++) {
    client.send(
      wire.publish(5, { topic: `${"x".repeat(1000)}${TopicAlias}`, props: { TopicAlias } }),
    );
  }
  expect(world.count("inputBytes")).toBeGreaterThan(32_000);
  client.client.cut();
  expect(world.count("inputBytes")).toBe(0);
});

test("subscription identifiers and expiry survive the way through a queue and a window", () => {
  const world = worldWith({ inflightMax: 2 });
  const props = { SessionExpiryInterval: 100 };
  const first = new Mqtt5Client(world, { clean: false, props });
  first.send(wire.subscribe(5, 1, [["#", 2]], { SubscriptionIdentifier: 9 }));
  first.send(wire.subscribe(5, 2, [["a", 2]], { SubscriptionIdentifier: 300 })).client.cut();
  const publisher = new Mqtt5Client(world, { clientId: "p" });
  for (let n = 1; n <= 6; n++) {
    const fields = { topic: "a", payload: `${n}`, qos: 1 + (n % 2), id: n };
    publisher.send(wire.publish(5, { ...fields, props: { MessageExpiryInterval: 50 } }));
  }
  world.advance(10_000);
  let client = new Mqtt5Client(world, { clean: false, props });
  const seen: string[] = [];
  for (let round = 0; round < 20 && seen.length < 6; round++) {
    client.client.cut();
    client = new Mqtt5Client(world, { clean: false, props });
    const packets = client.takes();
    for (const packet of packets.filter(({ type }) => type === "PUBLISH")) {
      expect(packet.props["SubscriptionIdentifier"]).toEqual([9, 300]);
      expect(packet.props["MessageExpiryInterval"]).toBe(40);
      if (!seen.includes(packet.payload)) seen.push(packet.payload);
      client.send(wire.ack(packet.qos === 1 ? wire.Puback : wire.Pubrec, packet.id));
    }
    for (const { id } of client.takes().filter(({ type }) => type === "PUBREL")) {
      client.send(wire.ack(wire.Pubcomp, id));
    }
  }
  expect(seen).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("a queue that is full of messages whose time is over has room again", () => {
  const world = worldWith({ queuedMessagesMax: 3 });
  const first = new Mqtt5Client(world, { clean: false, props: { SessionExpiryInterval: 1000 } });
  first.send(wire.subscribe(5, 1, [["a", 1]])).client.cut();
  const publisher = new Mqtt5Client(world, { clientId: "p" });
  const publish = (payload: string, seconds: number): void => {
    const props = { MessageExpiryInterval: seconds };
    publisher.send(wire.publish(5, { topic: "a", payload, qos: 1, props }));
  };
  for (let n = 0; n < 3; n++) publish("short", 5);
  world.advance(6000);
  for (let n = 0; n < 3; n++) publish("long", 100);
  expect(world.count("droppedQueueFull")).toBe(0);
  expect(world.count("droppedExpired")).toBe(3);
  expect(world.count("queued")).toBe(3);
});

test("a message of the program's own may have properties, and is told with them", () => {
  const world = worldWith();
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

test("[MQTT-3.3.2-5] a message whose time passes while its reader takes no bytes is not sent, and its window place is free", () => {
  const world = worldWith({ inflightMax: 1 });
  const reader = new Mqtt5Client(world).send(wire.subscribe(5, 1, [["a", 1]]));
  reader.takes();
  const publisher = new Mqtt5Client(world, { clientId: "p" });
  reader.client.writable(false);
  for (const [qos, seconds] of [
    [0, 1],
    [1, 1],
    [1, 100],
  ] as const) {
    const props = { MessageExpiryInterval: seconds };
    publisher.send(wire.publish(5, { topic: "a", payload: `${seconds}`, qos, props }));
  }
  world.advance(2000);
  reader.client.writable(true);
  expect(reader.takes().map(({ payload }) => payload)).toEqual(["100"]);
  expect(world.count("droppedExpired")).toBe(2);
});
