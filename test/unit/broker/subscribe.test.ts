import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { hex, publish, subscribe, toHex } from "../../support/packets.ts";

test("[MQTT311-3.8.4-1] answers with one return code per filter, in order [MQTT311-3.9.3-1]", () => {
  const client = new TestBroker().connected();
  client.subscribes(0x1234, ["a", 0], ["b/+", 1], ["c/#", 2]);
  expect(toHex(client.takesBytes())).toBe("90051234000102");
});

test("[MQTT311-3.10.4-4] answers UNSUBSCRIBE with its identifier, known filter or not [MQTT311-3.10.4-5]", () => {
  const client = new TestBroker().connected().unsubscribes(0x0102, "a", "b");
  expect(toHex(client.takesBytes())).toBe("b0020102");
});

test("[MQTT311-3.3.5-1] overlapping subscriptions deliver once, at the largest QoS", () => {
  const world = new TestBroker();
  const client = world.connected("s");
  client.subscribes(1, ["a/b", 0], ["a/+", 2], ["#", 1]);
  client.takes();
  world.connected("p").publishes("a/b", "x", { qos: 2 });
  expect(client.takes()).toEqual(['PUBLISH a/b "x" q2 #1']);
});

test("[MQTT311-3.8.4-3] an identical filter replaces the subscription", () => {
  const world = new TestBroker();
  const client = world.connected("s").send(subscribe(1, ["a", 2]), subscribe(2, ["a", 0]));
  client.takes();
  world.connected("p").publishes("a", "x", { qos: 2 });
  expect(client.takes()).toEqual(['PUBLISH a "x" q0']);
  expect(world.count("subscriptions")).toBe(1);
});

test("a filter given twice in one SUBSCRIBE makes one subscription, with the last options", () => {
  const world = new TestBroker();
  const client = world.connected("s").subscribes(1, ["a", 2], ["a", 0]);
  expect(client.takes()).toEqual(["SUBACK #1 2 0"]);
  expect(world.count("subscriptions")).toBe(1);
});

test("a new or ended subscription takes effect for the very next message on a known topic", () => {
  const world = new TestBroker();
  const publisher = world.connected("p");
  const client = world.connected("s");
  const others = world.connected("o").subscribes(1, ["a/b", 0], ["$other/x", 0]);
  for (const filter of ["a/b", "a/+", "#", "$other/x", "$share/g/a"]) {
    const topic = { "$other/x": "$other/x", "$share/g/a": "a" }[filter] ?? "a/b";
    publisher.publishes(topic, "before");
    client.subscribes(1, [filter, 0]);
    publisher.publishes(topic, "during");
    client.unsubscribes(2, filter);
    publisher.publishes(topic, "after");
    const got = client.takes().filter((line) => line.startsWith("PUBLISH"));
    expect(got).toEqual([`PUBLISH ${topic} "during" q0`]);
  }
  expect(others.takes().filter((line) => line.startsWith("PUBLISH"))).toHaveLength(12);
});

test("[MQTT311-4.7.2-1] a leading wildcard does not match a topic that begins with $", () => {
  const world = new TestBroker();
  const client = world.connected("s").subscribes(1, ["#", 0], ["+/x", 0]);
  const named = world.connected("n").subscribes(1, ["$custom/#", 0]);
  client.takes();
  named.takes();
  world.connected("p").publishes("$custom/x", "1");
  expect(client.takes()).toEqual([]);
  expect(named.takes()).toEqual(['PUBLISH $custom/x "1" q0']);
});

test("a filter beyond subscriptionsPerClientMax or subscriptionsMax fails with 0x80, and the other filters stay", () => {
  const world = new TestBroker({ limits: { subscriptionsPerClientMax: 2, subscriptionsMax: 3 } });
  const a = world.connected("a").subscribes(1, ["1", 0], ["2", 1], ["3", 2], ["1", 2]);
  expect(a.takes()).toEqual(["SUBACK #1 0 1 128 2"]);
  const b = world.connected("b").subscribes(1, ["1", 0], ["2", 1]);
  expect(b.takes()).toEqual(["SUBACK #1 0 128"]);
  a.unsubscribes(2, "1");
  b.subscribes(2, ["2", 1]);
  expect(b.takes()).toEqual(["SUBACK #2 1"]);
  expect(world.count("subscribesDenied")).toBe(2);
});

test("by default a client may have thousands of filters, in one SUBSCRIBE or in many", () => {
  const filters = Array.from({ length: 9000 }, (_, n) => [`f/${n}/state`, n % 3] as const);
  const world = new TestBroker({ outBytes: 4096 });
  const publisher = world.connected("p");
  for (const perPacket of [9000, 1]) {
    const client = world.connected(`s${perPacket}`);
    for (let n = 0; n < filters.length; n += perPacket) {
      client.subscribes(1, ...filters.slice(n, n + perPacket));
    }
    const codes = client.takes().flatMap((suback) => suback.split(" ").slice(2));
    expect(codes).toEqual(filters.map(([, qos]) => `${qos}`));
    publisher.publishes("f/8999/state", "x");
    expect(client.takes()).toEqual(['PUBLISH f/8999/state "x" q0']);
    expect(world.count("subscribesDenied")).toBe(0);
  }
});

test("filters are compared byte by byte", () => {
  const world = new TestBroker();
  const client = world.connected("s").subscribes(1, ["A/ä", 0]);
  client.takes();
  const publisher = world.connected("p");
  publisher.send(publish("a/ä", "x"), publish("A/a", "x"), publish("A/ä/", "x"));
  expect(client.takes()).toEqual([]);
  publisher.publishes("A/ä", "x");
  expect(client.takes()).toEqual(['PUBLISH A/ä "x" q0']);
  // A byte order mark is a character like any other [MQTT311-1.5.3-3].
  client.send(hex("82 08 0002 0003 efbbbf 00"));
  publisher.publishes("\ufeff", "bom");
  expect(client.takes()[1]).toContain("bom");
});

test("UNSUBSCRIBE ends the subscriptions it names and no others", () => {
  const world = new TestBroker();
  const client = world.connected().subscribes(1, ["a", 0], ["b", 0], ["+", 0]);
  client.unsubscribes(2, "a", "nothing", "+");
  client.takes();
  client.send(publish("a", "x"), publish("b", "x"));
  expect(client.takes()).toEqual(['PUBLISH b "x" q0']);
  expect(world.count("subscriptions")).toBe(1);
});
