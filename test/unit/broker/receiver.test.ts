/** What a client of 5.0 takes, and what becomes of what it does not take. */
import { expect, test } from "vitest";
import { Reason, Verdict } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client, packetsTo } from "../../support/mqtt5-client.ts";
import { concat } from "../../support/packets.ts";

test("[MQTT-3.14.0-1] for a fault in the chunk of the CONNECT, DISCONNECT follows CONNACK and the other replies", () => {
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

test("[MQTT-3.14.0-1] a client that is taken over before its CONNACK is sent receives CONNACK and DISCONNECT", () => {
  const world = new TestBroker();
  world.drains = false;
  const [first, second] = [world.open(), world.open()];
  for (const client of [first, second]) client.send(wire.connect(5, { clientId: "same" }));
  world.drain();
  const told = packetsTo(first).map(({ type }) => type);
  expect(told).toEqual(["CONNACK", "DISCONNECT"]);
  expect(packetsTo(second).map(({ type }) => type)).toEqual(["CONNACK"]);
});

test("a closing connection sends the replies that wait for no commit, and not those that do", () => {
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

test.each([1, 2])(
  "[MQTT-3.3.4-9] a client that comes back with a smaller Receive Maximum is sent no more at once, in order (QoS %i)",
  (qos) => {
    const world = new TestBroker();
    const props = { SessionExpiryInterval: 100 };
    const first = new Mqtt5Client(world, { props }).send(wire.subscribe(5, 1, [["t", 2]]));
    const publisher = world.connected("p");
    for (let n = 1; n <= 5; n++) {
      publisher.send(wire.publish(4, { topic: "t", payload: `${n}`, qos, id: n }));
    }
    expect(first.takes().filter(({ type }) => type === "PUBLISH")).toHaveLength(5);
    first.client.cut();
    publisher.send(wire.publish(4, { topic: "t", payload: "6", qos, id: 6 }));
    const again = new Mqtt5Client(world, { clean: false, props: { ...props, ReceiveMaximum: 2 } });
    let inflight: wire.Packet[] = [];
    const got: string[] = [];
    for (let round = 0; round < 6; round++) {
      const came = again.takes();
      inflight = [...inflight, ...came];
      expect(inflight.length).toBeLessThanOrEqual(2);
      got.push(...came.map(({ payload, dup }) => `${payload}${dup ? " again" : ""}`));
      const { id } = inflight.shift()!;
      if (qos === 1) {
        again.send(wire.ack(wire.Puback, id));
        continue;
      }
      // What is received still counts: only PUBCOMP makes room.
      again.send(wire.ack(wire.Pubrec, id));
      expect(again.takes().map(({ type }) => type)).toEqual(["PUBREL"]);
      again.send(wire.ack(wire.Pubcomp, id));
    }
    expect(got).toEqual(["1 again", "2 again", "3 again", "4 again", "5 again", "6"]);
    expect(again.takes()).toEqual([]);
    expect(world.count("inflight")).toBe(0);
  },
);

test("[MQTT-3.3.4-9] a QoS 2 message received on an earlier connection counts against Receive Maximum until PUBCOMP", () => {
  const world = new TestBroker();
  const props = { SessionExpiryInterval: 100 };
  const first = new Mqtt5Client(world, { props }).send(wire.subscribe(5, 1, [["t", 2]]));
  const publisher = world.connected("p");
  for (const id of [1, 2]) publisher.send(wire.publish(4, { topic: "t", qos: 2, id }));
  first.send(wire.ack(wire.Pubrec, 1)).client.cut();
  const again = new Mqtt5Client(world, { clean: false, props: { ...props, ReceiveMaximum: 1 } });
  expect(again.takes().map(({ type, id }) => [type, id])).toEqual([["PUBREL", 1]]);
  again.send(wire.ack(wire.Pubcomp, 1));
  expect(again.takes().map(({ type, id }) => [type, id])).toEqual([["PUBLISH", 2]]);
});

test("[MQTT-3.1.2-24] [MQTT-3.1.2-25] a message beyond a resumed client's Maximum Packet Size is not resent, and frees its place in the window", () => {
  const world = new TestBroker();
  const props = { SessionExpiryInterval: 100, ReceiveMaximum: 3 };
  const first = new Mqtt5Client(world, { props }).send(wire.subscribe(5, 1, [["t", 2]]));
  const publisher = world.connected("p");
  const payloads = ["long".repeat(20), "short", "long".repeat(30), "late"];
  for (const [n, payload] of payloads.entries()) {
    publisher.send(wire.publish(4, { topic: "t", payload, qos: 1 + (n % 2), id: n + 1 }));
  }
  expect(first.takes()).toHaveLength(4);
  first.client.cut();
  const again = new Mqtt5Client(world, {
    clean: false,
    props: { ...props, MaximumPacketSize: 40 },
  });
  expect(again.takes().map(({ payload, dup }) => [payload, dup])).toEqual([
    ["short", true],
    ["late", false],
  ]);
  expect(world.count("droppedTooLarge")).toBe(2);
  expect(world.count("inflight")).toBe(2);
});

test("[MQTT-3.1.2-24] [MQTT-3.2.0-1] refuses a client whose Maximum Packet Size is too small for its CONNACK", () => {
  const world = new TestBroker();
  const here = new Mqtt5Client(world, { clientId: "small", will: { topic: "w" } });
  const fits = here.connack.bytes.length;
  for (let max = 1; max < fits; max++) {
    const client = world.open();
    client.send(wire.connect(5, { clientId: "small", props: { MaximumPacketSize: max } }));
    const told = packetsTo(client).map(({ type, reason, bytes }) => [type, reason, bytes.length]);
    expect(told).toEqual(max < 5 ? [] : [["CONNACK", Reason.ImplementationSpecific, 5]]);
    expect(client.isOpen).toBe(false);
  }
  expect(here.client.isOpen).toBe(true);
  new Mqtt5Client(world, { clientId: "small", props: { MaximumPacketSize: fits } });
  expect(here.disconnectReason()).toBe(Reason.SessionTakenOver);
  expect(world.count("messages")).toBe(0);
});

test("[MQTT-3.1.2-24] leaves out a Server Reference that exceeds Maximum Packet Size", () => {
  const world = new TestBroker();
  const props = { MaximumPacketSize: 20 };
  const here = new Mqtt5Client(world, { props });
  const reference = "another.server.example:1883";
  world.broker.handleCommand({ kind: "move", reference, isForGood: true }, world.now);
  world.drain();
  const [farewell] = here.takes();
  expect([farewell!.reason, farewell!.bytes.length]).toEqual([Reason.ServerMoved, 3]);
  const late = new Mqtt5Client(world, { clientId: "late", props });
  expect([late.connack.reason, late.connack.bytes.length]).toEqual([Reason.ServerMoved, 5]);
  const roomy = new Mqtt5Client(world, { clientId: "roomy", props: { MaximumPacketSize: 50 } });
  expect(roomy.connack.props["ServerReference"]).toBe(reference);
});

test("[MQTT-3.1.2-24] an AUTH beyond the client's Maximum Packet Size ends the authentication exchange", () => {
  const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
  const client = world.open();
  const method = "a method";
  client.send(wire.connect(5, { props: { AuthenticationMethod: method, MaximumPacketSize: 40 } }));
  const challenge = { kind: "challenge", data: new Uint8Array(40) } as const;
  world.broker.handleDecision(client.conn, challenge, world.now);
  world.drain();
  const told = packetsTo(client).map(({ type, reason }) => [type, reason]);
  expect(told).toEqual([["CONNACK", Reason.ImplementationSpecific]]);
  expect(client.isOpen).toBe(false);
});

test("[MQTT-3.1.2-24] [MQTT-3.1.2-25] sends each message of exactly Maximum Packet Size, and none of one byte more", () => {
  const world = new TestBroker();
  const topic = "a/topic/worth/an/alias";
  const fits = wire.publish(5, { topic, payload: "x".repeat(50) }).length;
  const publisher = world.connected("p");
  for (const TopicAliasMaximum of [0, 10]) {
    for (const [max, count] of [
      [fits, 4],
      [fits - 1, 0],
    ] as const) {
      const props = { TopicAliasMaximum, MaximumPacketSize: max };
      const reader = new Mqtt5Client(world, { props }).send(wire.subscribe(5, 1, [[topic, 0]]));
      reader.takes();
      for (let n = 0; n < 4; n++) {
        publisher.send(wire.publish(4, { topic, payload: "x".repeat(50) }));
      }
      expect(reader.takes()).toHaveLength(count);
      reader.client.cut();
    }
  }
  expect(world.count("droppedTooLarge")).toBe(8);
});

test("resends PUBREL packets in the order of the PUBREC packets", () => {
  const world = new TestBroker();
  const props = { SessionExpiryInterval: 100 };
  const first = new Mqtt5Client(world, { props }).send(wire.subscribe(5, 1, [["t", 2]]));
  const publisher = world.connected("p");
  for (const id of [1, 2, 3]) publisher.send(wire.publish(4, { topic: "t", qos: 2, id }));
  first.send(...[3, 1, 2].map((id) => wire.ack(wire.Pubrec, id))).client.cut();
  const again = new Mqtt5Client(world, { clean: false, props });
  expect(again.takes().map(({ type, id }) => [type, id])).toEqual([
    ["PUBREL", 3],
    ["PUBREL", 1],
    ["PUBREL", 2],
  ]);
});
