/** The window of messages that a client has not acknowledged, and their packet identifiers. */
import { describe, expect, test } from "vitest";
import { EffectKind, Reason } from "../../../core/mod.ts";
import { pair } from "../../support/broker.ts";
import { concat, puback, pubcomp, publish, pubrec } from "../../support/packets.ts";

test("keeps at most inflightMax messages unacknowledged, and the order of the rest", () => {
  const { subscriber, publisher } = pair({ granted: 1, limits: { inflightMax: 3 } });
  for (let id = 1; id <= 8; id++) publisher.publishes("t", `${id}`, { qos: 1, id });
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
  const { subscriber, publisher } = pair({ granted: 1, limits: { inflightMax: 1 } });
  publisher.send(publish("t", "1", { qos: 1 }), publish("t", "2", { qos: 1 }), publish("t", "0"));
  expect(subscriber.takes()).toEqual(['PUBLISH t "1" q1 #1', 'PUBLISH t "0" q0']);
});

test("[MQTT311-2.3.1-4] reuses an identifier only after its acknowledgement", () => {
  const { world, subscriber, publisher } = pair({ granted: 1, limits: { inflightMax: 2 } });
  world.drains = false;
  publisher.publishes("t", "stuck", { qos: 1 });
  world.drain();
  expect(subscriber.takes()).toEqual(['PUBLISH t "stuck" q1 #1']);
  for (let n = 0; n < 65_534; n++) {
    publisher.publishes("t", "", { qos: 1 });
    world.drain();
    const id = n + 2;
    subscriber.stream = new Uint8Array(0);
    publisher.stream = new Uint8Array(0);
    subscriber.send(puback(id));
  }
  publisher.publishes("t", "next", { qos: 1 });
  world.drain();
  expect(subscriber.takes()).toEqual(['PUBLISH t "next" q1 #2']);
});

test("answers PUBREC for an unknown identifier with PUBREL, and counts stray acknowledgements", () => {
  const { world, subscriber } = pair({ granted: 2 });
  subscriber.send(pubrec(77), pubcomp(78), puback(79));
  expect(subscriber.takes()).toEqual(["PUBREL #77"]);
  expect(subscriber.isOpen).toBe(true);
  expect(world.count("acknowledgementsUnknown")).toBe(3);
});

describe("closes the connection on an acknowledgement of the wrong kind", () => {
  test.each([
    ["PUBREC for QoS 1", 1, [pubrec(1)]],
    ["PUBACK for QoS 2", 2, [puback(1)]],
    ["PUBCOMP before PUBREC", 2, [pubcomp(1)]],
    ["PUBACK after PUBREC", 2, [pubrec(1), puback(1)]],
  ] as const)("%s", (_, qos, acknowledgements) => {
    const { subscriber, publisher } = pair({ granted: 2 });
    publisher.publishes("t", "x", { qos });
    subscriber.send(...acknowledgements);
    expect(subscriber.ended).toBe(EffectKind.Close);
    expect(subscriber.reason).toBe(Reason.ProtocolError);
  });
});
