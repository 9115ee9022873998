/** What a client of 5.0 takes, and what becomes of what it does not take. */
import { expect, test } from "vitest";
import { Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { packetsTo } from "../../support/five.ts";
import { concat } from "../../support/packets.ts";

test("[MQTT-3.14.0-1] a fault in the chunk of the CONNECT is told after CONNACK, and after what was answered", () => {
  const client = new TestBroker().open();
  client.send(
    concat(
      wire.connect(5, { clientId: "hasty" }),
      wire.publish(5, { topic: "t", qos: 1, id: 7 }),
      Uint8Array.of(0xff, 0),
    ),
  );
  const packets = packetsTo(client);
  expect(packets.map(({ type }) => type)).toEqual(["CONNACK", "PUBACK", "DISCONNECT"]);
  expect(packets[2]!.reason).toBe(Reason.MalformedPacket);
  expect(client.isOpen).toBe(false);
});

test("[MQTT-3.14.0-1] who is taken over before its CONNACK has left is told both", () => {
  const world = new TestBroker();
  world.drains = false;
  const [first, second] = [world.open(), world.open()];
  for (const client of [first, second]) client.send(wire.connect(5, { clientId: "same" }));
  world.drain();
  const told = packetsTo(first).map(({ type }) => type);
  expect(told).toEqual(["CONNACK", "DISCONNECT"]);
  expect(packetsTo(second).map(({ type }) => type)).toEqual(["CONNACK"]);
});

test("what waits for the store is not told to one that is closed, what did not is", () => {
  const world = new TestBroker({ durable: "when told" });
  const client = world.open();
  client.send(wire.connect(5, { clientId: "kept", props: { SessionExpiryInterval: 9 } }));
  world.commit();
  expect(packetsTo(client).map(({ type }) => type)).toEqual(["CONNACK"]);
  world.drains = false;
  client.send(
    concat(
      wire.publish(5, { topic: "t", qos: 1, id: 1 }),
      wire.subscribe(5, 2, [["t", 1]]),
      wire.publish(5, { topic: "t", qos: 1, id: 3 }),
      Uint8Array.of(0xff, 0),
    ),
  );
  world.drain();
  const told = packetsTo(client).map(({ type }) => type);
  expect(told).toEqual(["PUBACK", "DISCONNECT"]);
});
