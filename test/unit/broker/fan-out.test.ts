/** Fan-outs in slices. */
import { expect, test } from "vitest";
import { fanout } from "../../support/broker.ts";
import { concat, connect, pingreq, publish, subscribe } from "../../support/packets.ts";

test("a fan-out beyond fanoutSlice is delivered in slices, in order, while its publisher waits", () => {
  const { world, readers, publisher } = fanout(100, { limits: { fanoutSlice: 16 } });
  world.drains = false;
  const chunk = [1, 2, 3].map((id) => publish("t", `${id}`, { qos: 1, id }));
  publisher.send(concat(...chunk, pingreq));
  expect(publisher.isReading).toBe(false);
  expect(world.count("publishesReceived")).toBe(1);
  world.drain();
  expect(publisher.isReading).toBe(true);
  expect(publisher.takes()).toEqual(["PUBACK #1", "PUBACK #2", "PUBACK #3", "PINGRESP"]);
  for (const reader of readers) {
    expect(reader.takes()).toEqual([1, 2, 3].map((n) => `PUBLISH t "${n}" q1 #${n}`));
  }
  expect(world.count("messages")).toBe(300 / 100); // in flight to all of them
});

test("a session that begins or ends during a fan-out does not disturb the fan-out", () => {
  const { world, readers, publisher } = fanout(60, {
    limits: { fanoutSlice: 16, sessionsMax: 100 },
  });
  world.drains = false;
  publisher.publishes("t", "x");
  readers[50]!.cut();
  readers[1]!.cut();
  const late = world.open().send(connect({ clientId: "late" }), subscribe(1, ["other", 0]));
  publisher.cut(); // the end of the publisher does not stop its fan-out
  world.drain();
  expect(late.takes()).toEqual(["CONNACK present=0 code=0", "SUBACK #1 0"]);
  for (const n of [0, 20, 40, 59]) expect(readers[n]!.takes()).toEqual(['PUBLISH t "x" q0']);
  expect(world.count("messages")).toBe(0);
});
