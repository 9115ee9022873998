/** Receive Maximum, the broker's and the client's: how many QoS 1 and 2 messages may be unacknowledged. */
import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { idIn, mqtt5, payloadIn, puback, pubcomp, pubrec, pubrel } from "../../support/packets.ts";

test("[MQTT-3.3.4-7] [MQTT-3.3.4-8] more unacknowledged messages than Receive Maximum end the connection with 0x93; acknowledged messages do not count", () => {
  const world = new TestBroker({ limits: { receiveMax: 3 } });
  const client = world.connected({ level: 5 });
  expect(client.connack).toContain(" ReceiveMaximum=3 ");
  for (let id = 1; id <= 10; id++) client.publishes("a", "", { qos: 1, id });
  expect(client.takes()).toEqual(
    Array.from({ length: 10 }, (_, n) => `PUBACK #${n + 1} NoMatchingSubscribers`),
  );
  for (let id = 1; id <= 3; id++) client.publishes("a", "", { qos: 2, id });
  client.send(pubrel(1), mqtt5.publish("a", "", { qos: 2, id: 4 }));
  expect(client.takes()).toEqual([
    ...[1, 2, 3].map((id) => `PUBREC #${id} NoMatchingSubscribers`),
    "PUBCOMP #1",
    "PUBREC #4 NoMatchingSubscribers",
  ]);
  // An identifier that is not known makes no room.
  client.send(pubrel(99));
  expect(client.takes()).toEqual(["PUBCOMP #99 PacketIdentifierNotFound ReasonString"]);
  client.publishes("a", "", { qos: 1, id: 5 });
  expect(client.takes()).toEqual(["DISCONNECT ReceiveMaximumExceeded ReasonString"]);
  expect(client.isOpen).toBe(false);
});

test("a repeated QoS 2 PUBLISH does not count twice against Receive Maximum", () => {
  const world = new TestBroker({ limits: { receiveMax: 2 } });
  const kept = { clean: false, props: { SessionExpiryInterval: 100 } };
  const first = world.connected({ level: 5, ...kept });
  first.publishes("a", "", { qos: 2, id: 1 }).cut();
  const client = world.connected({ level: 5, ...kept });
  for (let n = 0; n < 5; n++) {
    client.publishes("a", "", { qos: 2, id: 1, dup: true });
  }
  client.send(pubrel(1));
  client.publishes("a", "", { qos: 2, id: 2 });
  client.publishes("a", "", { qos: 2, id: 3 });
  expect(client.isOpen).toBe(true);
  client.publishes("a", "", { qos: 2, id: 4 });
  expect(client.isOpen).toBe(false);
});

test("QoS 2 exchanges left open by an earlier connection do not count against Receive Maximum", () => {
  const world = new TestBroker({ limits: { receiveMax: 1 } });
  const kept = { clean: false, props: { SessionExpiryInterval: 100 } };
  const first = world.connected({ level: 5, ...kept });
  first.publishes("a", "", { qos: 2, id: 1 }).cut();
  const client = world.connected({ level: 5, ...kept });
  client.send(mqtt5.publish("a", "", { qos: 2, id: 2 }), pubrel(1));
  expect(client.takes()).toEqual(["PUBREC #2 NoMatchingSubscribers", "PUBCOMP #1"]);
});

test("[MQTT-3.3.4-7] a refused PUBLISH does not count against Receive Maximum", () => {
  const client = new TestBroker({ limits: { receiveMax: 2 } }).connected({ level: 5 });
  for (let id = 1; id <= 6; id++) client.publishes("$SYS/no", "", { qos: 2, id });
  expect(client.takes()).toEqual(
    [1, 2, 3, 4, 5, 6].map((id) => `PUBREC #${id} NotAuthorized ReasonString`),
  );
  expect(client.isOpen).toBe(true);
});

test.each([1, 2])(
  "[MQTT-3.3.4-9] a client that reconnects with a smaller Receive Maximum is sent at most that many at once, in order (QoS %i)",
  (qos) => {
    const world = new TestBroker();
    const props = { SessionExpiryInterval: 100 };
    const first = world.connected({ level: 5, props }).subscribes(1, ["t", 2]);
    const publisher = world.connected("p");
    for (let n = 1; n <= 5; n++) {
      publisher.publishes("t", `${n}`, { qos, id: n });
    }
    expect(first.takes().filter((line) => line.startsWith("PUBLISH"))).toHaveLength(5);
    first.cut();
    publisher.publishes("t", "6", { qos, id: 6 });
    const again = world.connected({
      level: 5,
      clean: false,
      props: { ...props, ReceiveMaximum: 2 },
    });
    let inflight: string[] = [];
    const got: string[] = [];
    for (let round = 0; round < 6; round++) {
      const received = again.takes();
      inflight = [...inflight, ...received];
      expect(inflight.length).toBeLessThanOrEqual(2);
      got.push(
        ...received.map((line) => `${payloadIn(line)}${line.endsWith(" dup") ? " dup" : ""}`),
      );
      const id = idIn(inflight.shift()!);
      if (qos === 1) {
        again.send(puback(id));
        continue;
      }
      // A message that was received still counts: only PUBCOMP frees its place.
      again.send(pubrec(id));
      expect(again.takes()).toEqual([`PUBREL #${id}`]);
      again.send(pubcomp(id));
    }
    expect(got).toEqual(["1 dup", "2 dup", "3 dup", "4 dup", "5 dup", "6"]);
    expect(again.takes()).toEqual([]);
    expect(world.count("inflight")).toBe(0);
  },
);

test("[MQTT-3.3.4-9] a QoS 2 message received on an earlier connection counts against Receive Maximum until PUBCOMP", () => {
  const world = new TestBroker();
  const props = { SessionExpiryInterval: 100 };
  const first = world.connected({ level: 5, props }).subscribes(1, ["t", 2]);
  const publisher = world.connected("p");
  for (const id of [1, 2]) publisher.publishes("t", "", { qos: 2, id });
  first.send(pubrec(1)).cut();
  const again = world.connected({ level: 5, clean: false, props: { ...props, ReceiveMaximum: 1 } });
  expect(again.takes()).toEqual(["PUBREL #1"]);
  again.send(pubcomp(1));
  expect(again.takes()).toEqual(['PUBLISH t "" q2 #2 dup']);
});
