import { describe, expect, test } from "vitest";
import { pair, TestBroker } from "../../support/broker.ts";
import { concat, mqtt5, pubcomp, publish, pubrec, pubrel } from "../../support/packets.ts";

test("[MQTT311-3.8.4-6] delivers at the lower of the published and the granted QoS", () => {
  const { publisher, subscriber } = pair({ granted: 1 });
  publisher.publishes("t", "x", { qos: 2 });
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q1 #1']);
});

describe("[MQTT311-3.8.4-6] delivers a message, and acknowledges it by its own QoS,", () => {
  for (const published of [0, 1, 2] as const) {
    for (const granted of [0, 1, 2]) {
      test(`published at QoS ${published} to a subscriber granted QoS ${granted}`, () => {
        const { subscriber, publisher } = pair({ granted });
        publisher.publishes("t/a", "x", { qos: published, id: 7 });
        const qos = Math.min(published, granted);
        const id = qos > 0 ? " #1" : "";
        expect(subscriber.takes()).toEqual([`PUBLISH t/a "x" q${qos}${id}`]);
        const answer = { 0: [], 1: ["PUBACK #7"], 2: ["PUBREC #7"] }[published];
        expect(publisher.takes()).toEqual(answer);
      });
    }
  }
});

test("[MQTT311-4.3.3-2] a QoS 2 message sent again before PUBREL is delivered once", () => {
  const { world, subscriber, publisher } = pair({ granted: 0 });
  publisher.publishes("t", "x", { qos: 2, id: 9 });
  publisher.publishes("t", "x", { qos: 2, id: 9, dup: true });
  expect(publisher.takes()).toEqual(["PUBREC #9", "PUBREC #9"]);
  expect(subscriber.takes()).toHaveLength(1);
  expect(world.count("publishesDuplicate")).toBe(1);
  publisher.send(pubrel(9), pubrel(9));
  expect(publisher.takes()).toEqual(["PUBCOMP #9", "PUBCOMP #9"]);
  // Released: the same identifier is a new message [MQTT311-4.3.3-2].
  publisher.publishes("t", "y", { qos: 2, id: 9 });
  expect(subscriber.takes()).toEqual(['PUBLISH t "y" q0']);
});

test("a QoS 2 receipt outlives the connection of a persistent session", () => {
  const { world, subscriber } = pair({ granted: 0 });
  const publisher = world.connected({ clientId: "q", clean: false });
  publisher.publishes("t", "x", { qos: 2, id: 9 }).cut();
  const again = world.connected({ clientId: "q", clean: false });
  again.publishes("t", "x", { qos: 2, id: 9, dup: true });
  expect(again.takes()).toEqual(["PUBREC #9"]);
  expect(subscriber.takes()).toHaveLength(1);
});

test("[MQTT311-4.3.3-1] sends QoS 2 through PUBREC, PUBREL and PUBCOMP", () => {
  const { world, subscriber, publisher } = pair({ granted: 2 });
  publisher.publishes("t", "x", { qos: 2 });
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q2 #1']);
  subscriber.send(pubrec(1));
  expect(subscriber.takes()).toEqual(["PUBREL #1"]);
  expect(world.count("inflight")).toBe(1);
  subscriber.send(pubrec(1));
  expect(subscriber.takes()).toEqual(["PUBREL #1"]);
  subscriber.send(pubcomp(1));
  expect(world.count("inflight")).toBe(0);
  expect(world.count("messages")).toBe(0);
});

test("[MQTT311-4.6.0-6] keeps the order of a publisher, wherever the output is drained", () => {
  const { world, subscriber, publisher } = pair({ granted: 0 });
  const expected: string[] = [];
  for (let n = 0; n < 500; n++) {
    world.drains = n % 7 === 0;
    publisher.publishes("t", `${n}`, { qos: (n % 3) as 0 | 1 | 2, id: n + 1 });
    expected.push(`PUBLISH t "${n}" q0`);
  }
  world.drain();
  expect(subscriber.takes()).toEqual(expected);
});

test("acknowledges in the order of the messages [MQTT311-4.6.0-2]", () => {
  const { publisher } = pair({ granted: 0 });
  const packets = [1, 2, 3, 4, 5].map((id) => publish("t", "", { qos: id % 2 === 0 ? 1 : 2, id }));
  publisher.send(concat(...packets));
  expect(publisher.takes()).toEqual([
    "PUBREC #1",
    "PUBACK #2",
    "PUBREC #3",
    "PUBACK #4",
    "PUBREC #5",
  ]);
});

test("PUBACK and PUBREC tell a 5.0 publisher that there are no matching subscribers", () => {
  const world = new TestBroker();
  const client = world.connected({ level: 5 });
  client.send(mqtt5.publish("a", "", { qos: 1, id: 1 }), mqtt5.publish("a", "", { qos: 2, id: 2 }));
  expect(client.takes()).toEqual([
    "PUBACK #1 NoMatchingSubscribers",
    "PUBREC #2 NoMatchingSubscribers",
  ]);
  client.send(mqtt5.subscribe(3, ["a", 0]), mqtt5.publish("a", "", { qos: 1, id: 4 }));
  expect(client.takes()).toEqual(["SUBACK #3 0", "PUBACK #4", 'PUBLISH a "" q0']);
});
