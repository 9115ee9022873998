import { describe, expect, test } from "vitest";
import { EffectKind, Reason } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";
import {
  concat,
  connect,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
} from "../../support/packets.ts";

/** A subscriber of everything under `t` at a QoS, and a publisher. */
function pair(granted: number, limits = {}) {
  const world = new TestBroker({ limits });
  const subscriber = world.connected({ clientId: "s", clean: false });
  subscriber.send(subscribe(1, ["t/#", granted]));
  subscriber.takes();
  return { world, subscriber, publisher: world.connected("p") };
}

describe("delivers at the lower of the published and the granted QoS [MQTT311-3.8.4-6]", () => {
  for (const published of [0, 1, 2] as const) {
    for (const granted of [0, 1, 2]) {
      test(`published ${published}, granted ${granted}`, () => {
        const { subscriber, publisher } = pair(granted);
        publisher.send(publish("t/a", "x", { qos: published, id: 7 }));
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
  const { world, subscriber, publisher } = pair(0);
  publisher.send(publish("t", "x", { qos: 2, id: 9 }));
  publisher.send(publish("t", "x", { qos: 2, id: 9, dup: true }));
  expect(publisher.takes()).toEqual(["PUBREC #9", "PUBREC #9"]);
  expect(subscriber.takes()).toHaveLength(1);
  expect(world.count("publishesDuplicate")).toBe(1);
  publisher.send(pubrel(9), pubrel(9));
  expect(publisher.takes()).toEqual(["PUBCOMP #9", "PUBCOMP #9"]);
  // Released: the same identifier is a new message [MQTT311-4.3.3-2].
  publisher.send(publish("t", "y", { qos: 2, id: 9 }));
  expect(subscriber.takes()).toEqual(['PUBLISH t "y" q0']);
});

test("a QoS 2 receipt outlives the connection of a persistent session", () => {
  const { world, subscriber } = pair(0);
  const publisher = world.connected({ clientId: "q", clean: false });
  publisher.send(publish("t", "x", { qos: 2, id: 9 })).cut();
  const again = world.connected({ clientId: "q", clean: false });
  again.send(publish("t", "x", { qos: 2, id: 9, dup: true }));
  expect(again.takes()).toEqual(["PUBREC #9"]);
  expect(subscriber.takes()).toHaveLength(1);
});

test("[MQTT311-4.3.2-1] resends a QoS 1 message until PUBACK, and forgets it then", () => {
  const { world, subscriber, publisher } = pair(1);
  publisher.send(publish("t", "x", { qos: 1 }));
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q1 #1']);
  expect(world.count("inflight")).toBe(1);
  subscriber.send(puback(1));
  expect(world.count("inflight")).toBe(0);
  expect(world.count("messages")).toBe(0);
  subscriber.cut();
  const back = world.connected({ clientId: "s", clean: false });
  expect(back.takes()).toEqual([]);
});

test("[MQTT311-4.3.3-1] sends QoS 2 through PUBREC, PUBREL and PUBCOMP", () => {
  const { world, subscriber, publisher } = pair(2);
  publisher.send(publish("t", "x", { qos: 2 }));
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

test("[MQTT311-4.4.0-1] resends in order on reconnect: PUBREL, PUBLISH with DUP, then new messages", () => {
  const { world, subscriber, publisher } = pair(2, { inflightMax: 4 });
  for (let id = 1; id <= 6; id++) {
    publisher.send(publish("t", `${id}`, { qos: id % 2 === 0 ? 1 : 2, id }));
  }
  expect(subscriber.takes()).toEqual([
    'PUBLISH t "1" q2 #1',
    'PUBLISH t "2" q1 #2',
    'PUBLISH t "3" q2 #3',
    'PUBLISH t "4" q1 #4',
  ]);
  // 3 is received before 1: their PUBRELs keep that order [MQTT311-4.6.0-4].
  subscriber.send(pubrec(3), pubrec(1));
  subscriber.cut();
  const back = world.connected({ clientId: "s", clean: false });
  expect(back.isSessionPresent).toBe(true);
  expect(back.takes()).toEqual([
    "PUBREL #3",
    "PUBREL #1",
    'PUBLISH t "2" q1 #2 dup',
    'PUBLISH t "4" q1 #4 dup',
  ]);
  back.send(puback(4));
  expect(back.takes()).toEqual(['PUBLISH t "5" q2 #5']);
  back.send(pubcomp(1), pubcomp(3), puback(2));
  expect(back.takes()).toEqual(['PUBLISH t "6" q1 #6']);
});

test("an acknowledgement during the resend does not lose or repeat anything", () => {
  const { world, subscriber, publisher } = pair(1, { inflightMax: 50 });
  for (let id = 1; id <= 50; id++) publisher.send(publish("t", "x".repeat(200), { qos: 1, id }));
  subscriber.cut();
  const small = world.open();
  world.drains = false;
  small.send(connect({ clientId: "s", clean: false }), puback(10), puback(50), puback(1));
  world.drains = true;
  world.drain();
  const ids = small
    .takes()
    .slice(1)
    .map((line) => Number(/#(\d+)/.exec(line)![1]));
  const expected = Array.from({ length: 50 }, (_, i) => i + 1);
  expect(ids).toEqual(expected.filter((id) => ![1, 10, 50].includes(id)));
});

test("keeps at most inflightMax messages unacknowledged, and the order of the rest", () => {
  const { subscriber, publisher } = pair(1, { inflightMax: 3 });
  for (let id = 1; id <= 8; id++) publisher.send(publish("t", `${id}`, { qos: 1, id }));
  expect(subscriber.takes()).toHaveLength(3);
  subscriber.send(concat(puback(1), puback(2)));
  expect(subscriber.takes()).toEqual(['PUBLISH t "4" q1 #4', 'PUBLISH t "5" q1 #5']);
  subscriber.send(puback(5), puback(4), puback(3));
  expect(subscriber.takes()).toEqual([
    'PUBLISH t "6" q1 #6',
    'PUBLISH t "7" q1 #7',
    'PUBLISH t "8" q1 #8',
  ]);
});

test("QoS 0 messages overtake messages that wait for the window", () => {
  const { subscriber, publisher } = pair(1, { inflightMax: 1 });
  publisher.send(publish("t", "1", { qos: 1 }), publish("t", "2", { qos: 1 }), publish("t", "0"));
  expect(subscriber.takes()).toEqual(['PUBLISH t "1" q1 #1', 'PUBLISH t "0" q0']);
});

test("[MQTT311-2.3.1-4] reuses an identifier only after its acknowledgement", () => {
  const { world, subscriber, publisher } = pair(1, { inflightMax: 2 });
  world.drains = false;
  publisher.send(publish("t", "stuck", { qos: 1 }));
  world.drain();
  expect(subscriber.takes()).toEqual(['PUBLISH t "stuck" q1 #1']);
  for (let n = 0; n < 65_534; n++) {
    publisher.send(publish("t", "", { qos: 1 }));
    world.drain();
    const id = n + 2;
    subscriber.stream = new Uint8Array(0);
    publisher.stream = new Uint8Array(0);
    subscriber.send(puback(id));
  }
  publisher.send(publish("t", "next", { qos: 1 }));
  world.drain();
  expect(subscriber.takes()).toEqual(['PUBLISH t "next" q1 #2']);
});

test("answers PUBREC for an unknown identifier with PUBREL, and counts stray acknowledgements", () => {
  const { world, subscriber } = pair(2);
  subscriber.send(pubrec(77), pubcomp(78), puback(79));
  expect(subscriber.takes()).toEqual(["PUBREL #77"]);
  expect(subscriber.isOpen).toBe(true);
  expect(world.count("acknowledgementsUnknown")).toBe(3);
});

describe("closes on an acknowledgement of the wrong kind", () => {
  test.each([
    ["PUBREC for QoS 1", 1, [pubrec(1)]],
    ["PUBACK for QoS 2", 2, [puback(1)]],
    ["PUBCOMP before PUBREC", 2, [pubcomp(1)]],
    ["PUBACK after PUBREC", 2, [pubrec(1), puback(1)]],
  ] as const)("%s", (_, qos, acknowledgements) => {
    const { subscriber, publisher } = pair(2);
    publisher.send(publish("t", "x", { qos }));
    subscriber.send(...acknowledgements);
    expect(subscriber.ended).toBe(EffectKind.Close);
    expect(subscriber.reason).toBe(Reason.ProtocolError);
  });
});

test("[MQTT311-4.6.0-6] keeps the order of a publisher, wherever the output is drained", () => {
  const { world, subscriber, publisher } = pair(0);
  const expected: string[] = [];
  for (let n = 0; n < 500; n++) {
    world.drains = n % 7 === 0;
    publisher.send(publish("t", `${n}`, { qos: (n % 3) as 0 | 1 | 2, id: n + 1 }));
    expected.push(`PUBLISH t "${n}" q0`);
  }
  world.drain();
  expect(subscriber.takes()).toEqual(expected);
});

test("acknowledges in the order of the messages [MQTT311-4.6.0-2]", () => {
  const { publisher } = pair(0);
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

test("PUBACK and PUBREC say No matching subscribers", () => {
  const world = new TestBroker();
  const client = new Mqtt5Client(world);
  client.send(
    wire.publish(5, { topic: "a", qos: 1, id: 1 }),
    wire.publish(5, { topic: "a", qos: 2, id: 2 }),
  );
  expect(client.takes().map(({ reason }) => reason)).toEqual([0x10, 0x10]);
  client.send(wire.subscribe(5, 3, [["a", 0]]), wire.publish(5, { topic: "a", qos: 1, id: 4 }));
  expect(client.takes().find(({ type }) => type === "PUBACK")!.reason).toBe(0);
});
