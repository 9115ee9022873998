/** The packets that a client is sent again when it resumes its session. */
import { expect, test } from "vitest";
import { pair, TestBroker } from "../../support/broker.ts";
import { connect, idIn, puback, pubcomp, pubrec } from "../../support/packets.ts";

test("[MQTT311-4.3.2-1] resends a QoS 1 message until PUBACK, and forgets it then", () => {
  const { world, subscriber, publisher } = pair({ granted: 1 });
  publisher.publishes("t", "x", { qos: 1 });
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q1 #1']);
  expect(world.count("inflight")).toBe(1);
  subscriber.send(puback(1));
  expect(world.count("inflight")).toBe(0);
  expect(world.count("messages")).toBe(0);
  subscriber.cut();
  const back = world.connected({ clientId: "s", clean: false });
  expect(back.takes()).toEqual([]);
});

test("[MQTT311-4.4.0-1] resends in order on reconnect: PUBREL, PUBLISH with DUP, then new messages", () => {
  const { world, subscriber, publisher } = pair({ granted: 2, limits: { inflightMax: 4 } });
  for (let id = 1; id <= 6; id++) {
    publisher.publishes("t", `${id}`, { qos: id % 2 === 0 ? 1 : 2, id });
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
  const { world, subscriber, publisher } = pair({ granted: 1, limits: { inflightMax: 50 } });
  for (let id = 1; id <= 50; id++) publisher.publishes("t", "x".repeat(200), { qos: 1, id });
  subscriber.cut();
  const small = world.open();
  world.drains = false;
  small.send(connect({ clientId: "s", clean: false }), puback(10), puback(50), puback(1));
  world.drains = true;
  world.drain();
  const ids = small
    .takes()
    .slice(1)
    .map((line) => idIn(line));
  const expected = Array.from({ length: 50 }, (_, i) => i + 1);
  expect(ids).toEqual(expected.filter((id) => ![1, 10, 50].includes(id)));
});

test("resends PUBREL packets in the order of the PUBREC packets", () => {
  const world = new TestBroker();
  const props = { SessionExpiryInterval: 100 };
  const first = world.connected({ level: 5, props }).subscribes(1, ["t", 2]);
  const publisher = world.connected("p");
  for (const id of [1, 2, 3]) publisher.publishes("t", "", { qos: 2, id });
  first.send(...[3, 1, 2].map((id) => pubrec(id))).cut();
  const again = world.connected({ level: 5, clean: false, props });
  expect(again.takes()).toEqual(["PUBREL #3", "PUBREL #1", "PUBREL #2"]);
});
