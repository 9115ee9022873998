/** Message Expiry Interval: in queues, in the window, at rest. */
import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { idIn, payloadIn, puback, pubcomp, pubrec } from "../../support/packets.ts";

test("[MQTT-3.3.2-5] a retained message is removed, and its memory freed, when it expires", () => {
  const world = new TestBroker();
  const publisher = world.connected({ level: 5 });
  publisher.publishes("a", "x", { retain: true, props: { MessageExpiryInterval: 10 } });
  world.advance(9999);
  expect([world.count("retainedMessages"), world.count("messages")]).toEqual([1, 1]);
  world.advance(1);
  expect([world.count("retainedMessages"), world.count("messages")]).toEqual([0, 0]);
});

test("a message keeps its subscription identifiers and its remaining expiry through queue and window", () => {
  const world = new TestBroker({ limits: { inflightMax: 2 } });
  const props = { SessionExpiryInterval: 100 };
  const first = world.connected({ level: 5, clean: false, props });
  first.subscribes(1, ["#", 2], { SubscriptionIdentifier: 9 });
  first.subscribes(2, ["a", 2], { SubscriptionIdentifier: 300 }).cut();
  const publisher = world.connected({ level: 5, clientId: "p" });
  for (let n = 1; n <= 6; n++) {
    const props = { MessageExpiryInterval: 50 };
    publisher.publishes("a", `${n}`, { qos: 1 + (n % 2), id: n, props });
  }
  world.advance(10_000);
  let client = world.connected({ level: 5, clean: false, props });
  const seen: string[] = [];
  for (let round = 0; round < 20 && seen.length < 6; round++) {
    client.cut();
    client = world.connected({ level: 5, clean: false, props });
    for (const line of client.takes().filter((packet) => packet.startsWith("PUBLISH"))) {
      expect(line).toContain(" SubscriptionIdentifier=9,300");
      expect(line).toContain(" MessageExpiryInterval=40");
      if (!seen.includes(payloadIn(line))) seen.push(payloadIn(line));
      client.send(line.includes(" q1 ") ? puback(idIn(line)) : pubrec(idIn(line)));
    }
    for (const line of client.takes().filter((packet) => packet.startsWith("PUBREL"))) {
      client.send(pubcomp(idIn(line)));
    }
  }
  expect(seen).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("expired messages make room in a full queue", () => {
  const world = new TestBroker({ limits: { queuedMessagesMax: 3 } });
  const first = world.connected({ level: 5, clean: false, props: { SessionExpiryInterval: 1000 } });
  first.subscribes(1, ["a", 1]).cut();
  const publisher = world.connected({ level: 5, clientId: "p" });
  const publish = (payload: string, seconds: number): void => {
    const props = { MessageExpiryInterval: seconds };
    publisher.publishes("a", payload, { qos: 1, props });
  };
  for (let n = 0; n < 3; n++) publish("short", 5);
  world.advance(6000);
  for (let n = 0; n < 3; n++) publish("long", 100);
  expect(world.count("droppedQueueFull")).toBe(0);
  expect(world.count("droppedExpired")).toBe(3);
  expect(world.count("queued")).toBe(3);
});

test("[MQTT-3.3.2-5] a message that expires while its subscriber is blocked is not sent and frees its place in the window", () => {
  const world = new TestBroker({ limits: { inflightMax: 1 } });
  const reader = world.connected({ level: 5 }).subscribes(1, ["a", 1]);
  reader.takes();
  const publisher = world.connected({ level: 5, clientId: "p" });
  reader.writable(false);
  for (const [qos, seconds] of [
    [0, 1],
    [1, 1],
    [1, 100],
  ] as const) {
    const props = { MessageExpiryInterval: seconds };
    publisher.publishes("a", `${seconds}`, { qos, props });
  }
  world.advance(2000);
  reader.writable(true);
  expect(reader.takes()).toEqual(['PUBLISH a "100" q1 #2 MessageExpiryInterval=98']);
  expect(world.count("droppedExpired")).toBe(2);
});
