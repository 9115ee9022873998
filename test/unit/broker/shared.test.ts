/** Shared subscriptions that come and go. */
import { expect, test } from "vitest";
import { Counter } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { idIn, payloadIn, puback, pubrel } from "../../support/packets.ts";

test("drops the unacknowledged messages of a shared subscription that no longer exists", () => {
  const world = new TestBroker();
  const member = world.connected({ level: 5, clientId: "member" });
  member.subscribes(1, ["$share/g/secret", 1]);
  world.connected("p").publishes("secret", "", { qos: 1, id: 1 });
  expect(member.takes()).toEqual(["SUBACK #1 1", 'PUBLISH secret "" q1 #1']);
  member.unsubscribes(2, "$share/g/secret");
  const other = world.connected({ level: 5, clientId: "other" });
  other.subscribes(1, ["$share/h/public", 1]).takes();
  member.cut();
  expect(other.takes()).toEqual([]);
  expect(world.count("messages")).toBe(0);
});

test("a new shared subscription does not get a message in delivery to one that has ended", () => {
  const world = new TestBroker({ limits: { fanoutSlice: 16 } });
  for (let n = 0; n < 16; n++) {
    world.connected({ level: 5, clientId: `${n}` }).subscribes(1, ["secret", 0]);
  }
  const member = world.connected({ level: 5, clientId: "member" });
  member.subscribes(1, ["$share/g/secret", 0]);
  const other = world.connected({ level: 5, clientId: "other" });
  other.takes();
  const publisher = world.connected("p");
  world.drains = false;
  publisher.publishes("secret");
  member.unsubscribes(2, "$share/g/secret");
  other.subscribes(1, ["$share/h/public", 0]);
  world.drain();
  expect(other.takes()).toEqual(["SUBACK #1 0"]);
});

test("messages that a member leaves unacknowledged keep their order at the next member", () => {
  const world = new TestBroker({ limits: { inflightMax: 2 } });
  const filter = "$share/g/a";
  const member = world.connected({ level: 5, clientId: "member" }).subscribes(1, [filter, 1]);
  const publisher = world.connected("p");
  for (let id = 1; id <= 4; id++) {
    publisher.publishes("a", `${id}`, { qos: 1, id });
  }
  expect(member.takes()).toHaveLength(3);
  const next = world.connected({ level: 5, clientId: "next" }).subscribes(1, [filter, 1]);
  next.takes();
  member.cut();
  const got: string[] = [];
  for (let packets = next.takes(); packets.length > 0; packets = next.takes()) {
    got.push(...packets.map(payloadIn));
    next.send(...packets.map((line) => puback(idIn(line))));
  }
  expect(got).toEqual(["1", "2", "3", "4"]);
});

test("[MQTT-3.8.4-3] a member that subscribes again gets its new options", () => {
  const world = new TestBroker();
  const member = world.connected({ level: 5, clientId: "member" });
  const publisher = world.connected("p");
  for (const [qos, SubscriptionIdentifier] of [
    [0, 7],
    [2, 8],
    [1, 9],
  ] as const) {
    member.subscribes(1, ["$share/g/a", qos], { SubscriptionIdentifier }).takes();
    publisher.publishes("a", "", { qos: 2, id: qos + 1 });
    const [message] = member.takes();
    expect(message).toMatch(/^PUBLISH a "" q[012]/);
    expect(message).toContain(` q${qos} `);
    expect(message).toMatch(new RegExp(` SubscriptionIdentifier=${SubscriptionIdentifier}$`));
    publisher.send(pubrel(qos + 1));
  }
  expect(world.count("subscriptions")).toBe(1);
});

test("QoS 1 messages that a member of a shared subscription leaves unacknowledged go to another member", () => {
  const world = new TestBroker();
  const first = world.connected({
    level: 5,
    clientId: "first",
    props: { SessionExpiryInterval: 100 },
  });
  first.subscribes(1, ["$share/g/a", 1]);
  first.takes();
  const publisher = world.connected("p");
  for (let n = 0; n < 30; n++) publisher.publishes("a", `${n}`, { qos: 1, id: n + 1 });
  expect(first.takes()).toHaveLength(20);
  first.cut();
  const second = world.connected({ level: 5, clientId: "second" }).subscribes(1, ["$share/g/a", 1]);
  expect(second.takes()).toEqual(["SUBACK #1 1"]);
  world.advance(100_001);
  const got: string[] = [];
  for (;;) {
    const packets = second.takes();
    if (packets.length === 0) break;
    got.push(...packets.map(payloadIn));
    second.send(...packets.map((line) => puback(idIn(line))));
  }
  expect(new Set(got)).toEqual(new Set(Array.from({ length: 30 }, (_, n) => `${n}`)));
  expect(world.count("messages")).toBe(0);
});

test("a shared subscription prefers members that are connected and have room in their window", () => {
  const world = new TestBroker();
  const filter = "$share/g/a";
  const away = world.connected({
    level: 5,
    clientId: "away",
    props: { SessionExpiryInterval: 100 },
  });
  away.subscribes(1, [filter, 1]).cut();
  const tight = world.connected({ level: 5, clientId: "tight", props: { ReceiveMaximum: 1 } });
  tight.subscribes(1, [filter, 1]).takes();
  const wide = world.connected({ level: 5, clientId: "wide" });
  wide.subscribes(1, [filter, 1]).takes();
  const publisher = world.connected("p");
  for (let n = 0; n < 10; n++) publisher.publishes("a", "", { qos: 1, id: n + 1 });
  expect(wide.takes().length).toBeGreaterThanOrEqual(9);
  expect(world.count("queued")).toBe(0);
  expect(world.broker.counters[Counter.sharedSubscriptions]).toBe(1);
});
