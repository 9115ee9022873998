/** Receive Maximum: how many QoS 1 and 2 messages a client may have unacknowledged. */
import { expect, test } from "vitest";
import { Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";

test("[MQTT-3.3.4-7] [MQTT-3.3.4-8] more unacknowledged messages than Receive Maximum end the connection with 0x93; acknowledged messages do not count", () => {
  const world = new TestBroker({ limits: { receiveMax: 3 } });
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

test("a repeated QoS 2 PUBLISH does not count twice against Receive Maximum", () => {
  const world = new TestBroker({ limits: { receiveMax: 2 } });
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

test("QoS 2 exchanges left open by an earlier connection do not count against Receive Maximum", () => {
  const world = new TestBroker({ limits: { receiveMax: 1 } });
  const kept = { clean: false, props: { SessionExpiryInterval: 100 } };
  const first = new Mqtt5Client(world, kept);
  first.send(wire.publish(5, { topic: "a", qos: 2, id: 1 })).client.cut();
  const client = new Mqtt5Client(world, kept);
  client.send(wire.publish(5, { topic: "a", qos: 2, id: 2 }), wire.ack(wire.Pubrel, 1));
  expect(client.takes().map(({ type }) => type)).toEqual(["PUBREC", "PUBCOMP"]);
});

test("[MQTT-3.3.4-7] a refused PUBLISH does not count against Receive Maximum", () => {
  const client = new Mqtt5Client(new TestBroker({ limits: { receiveMax: 2 } }));
  for (let id = 1; id <= 6; id++) client.send(wire.publish(5, { topic: "$SYS/no", qos: 2, id }));
  expect(client.takes().map(({ type, reason }) => [type, reason])).toEqual(
    Array(6).fill(["PUBREC", 0x87]),
  );
  expect(client.client.isOpen).toBe(true);
});
