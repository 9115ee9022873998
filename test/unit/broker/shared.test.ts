/** Shared subscriptions that come and go. */
import { expect, test } from "vitest";
import { Counter } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";

test("drops the unacknowledged messages of a shared subscription that no longer exists", () => {
  const world = new TestBroker();
  const member = new Mqtt5Client(world, { clientId: "member" });
  member.send(wire.subscribe(5, 1, [["$share/g/secret", 1]]));
  world.connected("p").send(wire.publish(4, { topic: "secret", qos: 1, id: 1 }));
  expect(member.takes().map(({ type }) => type)).toEqual(["SUBACK", "PUBLISH"]);
  member.send(wire.unsubscribe(5, 2, ["$share/g/secret"]));
  const other = new Mqtt5Client(world, { clientId: "other" });
  other.send(wire.subscribe(5, 1, [["$share/h/public", 1]])).takes();
  member.client.cut();
  expect(other.takes()).toEqual([]);
  expect(world.count("messages")).toBe(0);
});

test("a new shared subscription does not get a message in delivery to one that has ended", () => {
  const world = new TestBroker({ limits: { fanoutSlice: 16 } });
  for (let n = 0; n < 16; n++) {
    new Mqtt5Client(world, { clientId: `${n}` }).send(wire.subscribe(5, 1, [["secret", 0]]));
  }
  const member = new Mqtt5Client(world, { clientId: "member" });
  member.send(wire.subscribe(5, 1, [["$share/g/secret", 0]]));
  const other = new Mqtt5Client(world, { clientId: "other" });
  other.takes();
  const publisher = world.connected("p");
  world.drains = false;
  publisher.send(wire.publish(4, { topic: "secret" }));
  member.send(wire.unsubscribe(5, 2, ["$share/g/secret"]));
  other.send(wire.subscribe(5, 1, [["$share/h/public", 0]]));
  world.drain();
  expect(other.takes().map(({ type }) => type)).toEqual(["SUBACK"]);
});

test("messages that a member leaves unacknowledged keep their order at the next member", () => {
  const world = new TestBroker({ limits: { inflightMax: 2 } });
  const filter = "$share/g/a";
  const member = new Mqtt5Client(world, { clientId: "member" }).send(
    wire.subscribe(5, 1, [[filter, 1]]),
  );
  const publisher = world.connected("p");
  for (let id = 1; id <= 4; id++) {
    publisher.send(wire.publish(4, { topic: "a", payload: `${id}`, qos: 1, id }));
  }
  expect(member.takes()).toHaveLength(3);
  const next = new Mqtt5Client(world, { clientId: "next" }).send(
    wire.subscribe(5, 1, [[filter, 1]]),
  );
  next.takes();
  member.client.cut();
  const got: string[] = [];
  for (let packets = next.takes(); packets.length > 0; packets = next.takes()) {
    got.push(...packets.map(({ payload }) => payload));
    next.send(...packets.map(({ id }) => wire.ack(wire.Puback, id)));
  }
  expect(got).toEqual(["1", "2", "3", "4"]);
});

test("[MQTT-3.8.4-3] a member that subscribes again gets its new options", () => {
  const world = new TestBroker();
  const member = new Mqtt5Client(world, { clientId: "member" });
  const publisher = world.connected("p");
  for (const [qos, SubscriptionIdentifier] of [
    [0, 7],
    [2, 8],
    [1, 9],
  ] as const) {
    member.send(wire.subscribe(5, 1, [["$share/g/a", qos]], { SubscriptionIdentifier })).takes();
    publisher.send(wire.publish(4, { topic: "a", qos: 2, id: qos + 1 }));
    const [message] = member.takes();
    expect([message!.qos, message!.props]).toEqual([qos, { SubscriptionIdentifier }]);
    publisher.send(wire.ack(wire.Pubrel, qos + 1));
  }
  expect(world.count("subscriptions")).toBe(1);
});

test("QoS 1 messages that a member of a shared subscription leaves unacknowledged go to another member", () => {
  const world = new TestBroker();
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

test("a shared subscription prefers members that are connected and have room in their window", () => {
  const world = new TestBroker();
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
