/** Message Expiry Interval: in queues, in the window, at rest. */
import { expect, test } from "vitest";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";

test("[MQTT-3.3.2-5] a retained message is removed, and its memory freed, when it expires", () => {
  const world = new TestBroker();
  const publisher = new Mqtt5Client(world);
  const fields = { topic: "a", payload: "x", retain: true };
  publisher.send(wire.publish(5, { ...fields, props: { MessageExpiryInterval: 10 } }));
  world.advance(9999);
  expect([world.count("retainedMessages"), world.count("messages")]).toEqual([1, 1]);
  world.advance(1);
  expect([world.count("retainedMessages"), world.count("messages")]).toEqual([0, 0]);
});

test("a message keeps its subscription identifiers and its remaining expiry through queue and window", () => {
  const world = new TestBroker({ limits: { inflightMax: 2 } });
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

test("expired messages make room in a full queue", () => {
  const world = new TestBroker({ limits: { queuedMessagesMax: 3 } });
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

test("[MQTT-3.3.2-5] a message that expires while its subscriber is blocked is not sent and frees its place in the window", () => {
  const world = new TestBroker({ limits: { inflightMax: 1 } });
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
