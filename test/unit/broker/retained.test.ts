import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { disconnect, publish, subscribe } from "../../support/packets.ts";

function retaining(topics: Record<string, string>, options = {}) {
  const world = new TestBroker(options);
  const publisher = world.connected("p");
  for (const [topic, payload] of Object.entries(topics)) {
    publisher.publishes(topic, payload, { retain: true, qos: 1 });
  }
  publisher.takes();
  return { world, publisher };
}

/** The messages that a new subscription receives, sorted. */

function gets(world: TestBroker, filter: string, qos = 0): string[] {
  const client = world.connected({ clientId: "", clean: true }).subscribes(1, [filter, qos]);
  const lines = client.takes().slice(1).sort();
  client.send(disconnect);
  return lines;
}

test("[MQTT311-3.3.1-6] a new subscription receives the retained messages with RETAIN 1 [MQTT311-3.3.1-8]", () => {
  const { world } = retaining({ "a/1": "x", "a/2": "y", "b/1": "z" });
  expect(gets(world, "a/+", 2)).toEqual([
    'PUBLISH a/1 "x" q1 #1 retain',
    'PUBLISH a/2 "y" q1 #2 retain',
  ]);
  expect(gets(world, "a/1")).toEqual(['PUBLISH a/1 "x" q0 retain']);
  expect(gets(world, "nothing")).toEqual([]);
});

test("[MQTT311-3.3.1-5] the last retained message replaces the one before", () => {
  const { world, publisher } = retaining({ a: "1" });
  publisher.publishes("a", "2", { retain: true });
  expect(gets(world, "#")).toEqual(['PUBLISH a "2" q0 retain']);
  expect(world.count("retainedMessages")).toBe(1);
});

test("[MQTT311-3.3.1-10] an empty payload removes the retained message, and is delivered as a message [MQTT311-3.3.1-11]", () => {
  const { world, publisher } = retaining({ a: "1" });
  const client = world.connected("s").subscribes(1, ["a", 0]);
  client.takes();
  publisher.publishes("a", "", { retain: true });
  expect(client.takes()).toEqual(['PUBLISH a "" q0']);
  expect(gets(world, "a")).toEqual([]);
  expect(world.count("retainedMessages")).toBe(0);
  expect(world.count("retainedBytes")).toBe(0);
});

test("[MQTT311-3.3.1-9] an existing subscription receives a retained message with RETAIN 0", () => {
  const world = new TestBroker();
  const client = world.connected("s").subscribes(1, ["a", 0]);
  client.takes();
  world.connected("p").publishes("a", "x", { retain: true });
  expect(client.takes()).toEqual(['PUBLISH a "x" q0']);
});

test("[MQTT311-3.3.1-12] a message without RETAIN does not change the retained message", () => {
  const { world, publisher } = retaining({ a: "1" });
  publisher.send(publish("a", "2"), publish("a", ""));
  expect(gets(world, "a")).toEqual(['PUBLISH a "1" q0 retain']);
});

test("[MQTT311-3.8.4-3] a repeated subscription receives the retained messages again", () => {
  const { world, publisher } = retaining({ a: "1" });
  const client = world.connected("s").send(subscribe(1, ["a", 0]), subscribe(2, ["a", 1]));
  expect(client.takes()).toEqual([
    "SUBACK #1 0",
    'PUBLISH a "1" q0 retain',
    "SUBACK #2 1",
    'PUBLISH a "1" q1 #1 retain',
  ]);
  publisher.publishes("a", "2", { qos: 1 });
  expect(client.takes()).toEqual(['PUBLISH a "2" q1 #2']);
});

test("a wildcard subscription receives matching retained messages, and none of $SYS", () => {
  const { world } = retaining({ a: "", b: "" });
  expect(world.count("retainedMessages")).toBe(0);
  const { world: w } = retaining({
    a: "1",
    "a/b": "2",
    "a/b/c": "3",
    "/": "4",
    "/a": "5",
    "a//c": "6",
  });
  const names = (filter: string): string[] => gets(w, filter).map((line) => line.split(" ")[1]!);
  expect(names("#")).toEqual(["/", "/a", "a", "a//c", "a/b", "a/b/c"]);
  expect(names("a/#")).toEqual(["a", "a//c", "a/b", "a/b/c"]);
  expect(names("+/+")).toEqual(["/", "/a", "a/b"]);
  expect(names("+/b/#")).toEqual(["a/b", "a/b/c"]);
  expect(names("a/+/c")).toEqual(["a//c", "a/b/c"]);
  expect(names("+")).toEqual(["a"]);
  expect(names("/+")).toEqual(["/", "/a"]);
});

test("a retained message expires retainedMillisMax after its last PUBLISH", () => {
  const { world, publisher } = retaining(
    { a: "1", b: "1" },
    { limits: { retainedMillisMax: 5000 } },
  );
  world.advance(4000);
  publisher.publishes("b", "2", { retain: true });
  world.advance(1000);
  expect(gets(world, "#")).toEqual(['PUBLISH b "2" q0 retain']);
  expect(world.count("retainedExpired")).toBe(1);
  world.advance(4000);
  expect(world.count("retainedMessages")).toBe(0);
  expect(world.count("messages")).toBe(0);
});

test("retained messages do not expire by default", () => {
  const { world } = retaining({ a: "1" });
  world.advance(30 * 86_400_000);
  expect(world.count("retainedMessages")).toBe(1);
});

test("beyond retainedMessagesMax, a message to a new topic is delivered and not retained; known topics are still replaced", () => {
  const { world, publisher } = retaining(
    { a: "1", b: "1" },
    { limits: { retainedMessagesMax: 2 } },
  );
  const client = world.connected("s").subscribes(1, ["#", 0]);
  client.takes();
  publisher.send(publish("c", "1", { retain: true }), publish("a", "2", { retain: true }));
  expect(client.takes()).toEqual(['PUBLISH c "1" q0', 'PUBLISH a "2" q0']);
  expect(gets(world, "#")).toEqual(['PUBLISH a "2" q0 retain', 'PUBLISH b "1" q0 retain']);
  expect(world.count("retainedRefused")).toBe(1);
});

test("retainedBytesMax bounds retained bytes, and a message that cannot be retained removes the old one", () => {
  const { world, publisher } = retaining({ a: "1" }, { limits: { retainedBytesMax: 100 } });
  publisher.publishes("a", "x".repeat(200), { retain: true });
  expect(gets(world, "a")).toEqual([]);
  expect(world.count("retainedBytes")).toBe(0);
});
