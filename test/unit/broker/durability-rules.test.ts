// Durability per topic: with `received`, neither acknowledgements nor deliveries wait for the store.
import { describe, expect, test } from "vitest";
import { countUnstored, inspect, Table } from "../../../core/mod.ts";
import type { TestBrokerOptions } from "../../support/broker.ts";
import { pair, TestBroker } from "../../support/broker.ts";
import { disconnect, puback, pubcomp, publish, pubrec, pubrel } from "../../support/packets.ts";

const durability = [
  { filter: "t/stored/#", acknowledge: "stored" },
  { filter: "t/#", acknowledge: "received" },
] as const;

/** A subscriber of `t/#` with a kept session, and a publisher whose session is kept. */
function opened(options: Partial<TestBrokerOptions> & { granted?: number } = {}) {
  const { world, subscriber } = pair({
    ...{ granted: 2, durable: "when told", durability },
    ...options,
  });
  const publisher = world.open().connects({ clientId: "w", clean: false });
  world.commit();
  publisher.takes();
  return { world, subscriber, publisher };
}

test("acknowledges QoS 1 at once, and the store still gets the message", () => {
  const { world, subscriber, publisher } = opened();
  publisher.publishes("t/a", "x", { qos: 1, id: 7 });
  expect(publisher.takes()).toEqual(["PUBACK #7"]);
  expect(subscriber.takes()).toEqual(['PUBLISH t/a "x" q1 #1']);
  world.commit();
  expect([world.records(Table.Message), world.records(Table.Queue)]).toEqual([1, 1]);
});

test("the first rule that matches applies, and topics without a rule are stored", () => {
  const { world, publisher } = opened();
  publisher.publishes("t/stored/a", "x", { qos: 1, id: 1 });
  expect(publisher.takes()).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  publisher.publishes("other", "x", { qos: 1, id: 2, retain: true });
  expect(publisher.takes()).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #2"]);
});

test("a retained message follows its topic", () => {
  const { world, publisher } = opened();
  publisher.publishes("t/a", "x", { qos: 1, id: 1, retain: true });
  publisher.publishes("t/a", "", { qos: 1, id: 2, retain: true });
  expect(publisher.takes()).toEqual(["PUBACK #1", "PUBACK #2"]);
  publisher.publishes("t/a", "y", { qos: 1, id: 3, retain: true });
  world.commit();
  expect(world.records(Table.Retained)).toBe(1);
});

test("no packet of a QoS 2 message waits, from its publisher to the end at its subscriber", () => {
  const { world, subscriber, publisher } = opened();
  publisher.publishes("t/a", "x", { qos: 2, id: 9 });
  expect(publisher.takes()).toEqual(["PUBREC #9"]);
  expect(subscriber.takes()).toEqual(['PUBLISH t/a "x" q2 #1']);
  publisher.publishes("t/a", "x", { qos: 2, id: 9, dup: true });
  expect([publisher.takes(), subscriber.takes()]).toEqual([["PUBREC #9"], []]);
  publisher.send(pubrel(9));
  expect(publisher.takes()).toEqual(["PUBCOMP #9"]);
  subscriber.send(pubrec(1));
  expect(subscriber.takes()).toEqual(["PUBREL #1"]);
  subscriber.send(pubcomp(1));
  world.commit();
  expect([world.records(Table.Message), world.records(Table.Queue)]).toEqual([0, 0]);
});

test("receipts of QoS 2 messages are not stored: a PUBLISH repeated after a crash is published again", () => {
  const { world, publisher } = opened();
  publisher.publishes("t/a", "x", { qos: 2, id: 9 });
  publisher.publishes("t/stored/a", "y", { qos: 2, id: 10 });
  world.commit();
  expect(publisher.takes()).toEqual(["PUBREC #9", "PUBREC #10"]);
  const again = world.crash(0, { durable: "at once" });
  const resumed = again.connected({ clientId: "w", clean: false });
  resumed.publishes("t/a", "x", { qos: 2, id: 9, dup: true });
  resumed.publishes("t/stored/a", "y", { qos: 2, id: 10, dup: true });
  expect(again.count("publishesDuplicate")).toBe(1);
  const subscriber = again.connected({ clientId: "s", clean: false });
  expect(subscriber.takes().map((line) => line.split(" ").slice(1, 3).join(" "))).toEqual([
    't/a "x"',
    't/stored/a "y"',
    't/a "x"',
  ]);
});

test("the end of a session removes the receipts that are stored, and no others", () => {
  const { world, publisher } = opened({ limits: { sessionMillisMax: 1000 } });
  publisher.publishes("t/stored/a", "y", { qos: 2, id: 10 });
  publisher.publishes("t/a", "x", { qos: 2, id: 9 });
  publisher.send(disconnect);
  world.commit();
  world.advance(1000);
  world.commit(); // the store fails the test if a record is removed that it does not have
  expect(world.records(Table.Session)).toBe(1);
});

test("[MQTT311-4.6.0-2] [MQTT311-4.6.0-3] acknowledgements of both kinds keep the order of the messages on one connection", () => {
  const { world, subscriber, publisher } = opened();
  publisher.send(
    publish("t/a", "1", { qos: 1, id: 1 }),
    publish("t/stored", "2", { qos: 1, id: 2 }),
    publish("t/a", "3", { qos: 1, id: 3 }),
    publish("t/a", "4", { qos: 2, id: 4 }),
    publish("t/stored", "5", { qos: 2, id: 5 }),
    publish("t/a", "6", { qos: 1, id: 6 }),
  );
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  world.commit();
  expect(publisher.takes()).toEqual([
    "PUBACK #2",
    "PUBACK #3",
    "PUBREC #4",
    "PUBREC #5",
    "PUBACK #6",
  ]);
  // Each subscriber gets the messages of a publisher in order, whatever their topics wait for.
  expect(subscriber.takes().map((line) => line.split('"')[1])).toEqual([
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
  ]);
});

test("a will follows its topic: the CONNACK waits for its record only if the topic is stored", () => {
  const { world } = opened();
  const connack = (topic: string): string[] =>
    world
      .open()
      .connects({ clientId: topic, will: { topic, payload: "gone", qos: 1 } })
      .takes();
  expect(connack("t/w")).toEqual(["CONNACK present=0 code=0"]);
  expect(connack("t/stored/w")).toEqual([]);
  world.commit();
  expect(world.records(Table.Will)).toBe(2);
});

test("a long fan-out is acknowledged without waiting for the store", () => {
  const { world, publisher } = opened({ limits: { fanoutSlice: 16 } });
  for (let n = 0; n < 40; n++) {
    const reader = world.open().connects({ clientId: `r${n}`, clean: false });
    reader.subscribes(1, ["t/#", 1]);
  }
  world.commit();
  publisher.publishes("t/a", "x", { qos: 1, id: 1 });
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  publisher.publishes("t/stored/a", "x", { qos: 1, id: 2 });
  expect(publisher.takes()).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #2"]);
});

describe("while the store is full", () => {
  test("publishers to these topics go on until the bounds of the journal", () => {
    const { world, subscriber, publisher } = opened({ limits: { journalBacklogMax: 20 } });
    publisher.publishes("t/a", "0", { qos: 1, id: 100 });
    world.refuseCommit();
    for (let id = 1; id <= 9; id++) publisher.publishes("t/a", `${id}`, { qos: 1, id });
    expect(publisher.takes()).toHaveLength(10);
    expect(publisher.isReading).toBe(false);
    expect(subscriber.takes()).toHaveLength(10);
    world.commitRefused();
    expect(publisher.isReading).toBe(true);
    expect(world.records(Table.Message)).toBe(10);
  });

  test("counts the messages that were acknowledged and are not stored", () => {
    const { world, subscriber, publisher } = opened();
    publisher.publishes("t/a", "stored", { qos: 1, id: 100 });
    world.commit();
    publisher.publishes("t/a", "refused", { qos: 1, id: 101 });
    world.refuseCommit();
    publisher.publishes("t/a", "waits", { qos: 2, id: 102 });
    publisher.publishes("t/retained", "replaced", { qos: 1, id: 103, retain: true });
    publisher.publishes("t/retained", "retained", { qos: 1, id: 104, retain: true });
    // These are not acknowledged, or need no store.
    publisher.publishes("t/a", "at QoS 0");
    publisher.publishes("nobody", "x", { qos: 1, id: 105 });
    publisher.publishes("t/stored/a", "x", { qos: 1, id: 106 });
    expect(subscriber.takes()).toHaveLength(7);
    expect(countUnstored(world.broker)).toBe(4);
    // The subscriber has it now, and the store may do without it.
    subscriber.send(puback(4), puback(5));
    expect(countUnstored(world.broker)).toBe(3);
    world.commitRefused();
    expect(countUnstored(world.broker)).toBe(0);
  });

  test("a client with a will to such a topic is accepted", () => {
    const { world, publisher } = opened();
    publisher.publishes("t/a", "0", { qos: 1, id: 100 });
    world.refuseCommit();
    const will = { topic: "t/w", payload: "gone" };
    const client = world.open().connects({ clientId: "c", will });
    expect(client.takes()).toEqual(["CONNACK present=0 code=0"]);
  });
});

test("counts the messages that were acknowledged of each kind, and publishes the counts", () => {
  const { world, publisher } = opened({ limits: { sysMillis: 1000 } });
  publisher.send(
    publish("t/a", "", { qos: 1, id: 1 }),
    publish("t/stored", "", { qos: 1, id: 2 }),
    publish("t/a", "", { qos: 2, id: 3 }),
    publish("t/a", "at QoS 0"),
    publish("nobody", "", { qos: 1, id: 4 }),
  );
  world.commit();
  const { counters } = inspect(world.broker);
  expect(counters).toMatchObject({ acknowledgedStored: 2, acknowledgedReceived: 2 });
  world.advance(1000);
  const watcher = world.connected("watcher");
  watcher.subscribes(1, ["$SYS/broker/publish/messages/acknowledged/+", 0]);
  expect(watcher.takes().slice(1).sort()).toEqual([
    'PUBLISH $SYS/broker/publish/messages/acknowledged/received "2" q0 retain',
    'PUBLISH $SYS/broker/publish/messages/acknowledged/stored "2" q0 retain',
  ]);
});

test("with the memory store, every message counts as acknowledged on receipt", () => {
  const world = new TestBroker({ durability });
  const publisher = world.connected("p");
  publisher.publishes("t/stored/a", "", { qos: 1, id: 1 });
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  expect(world.count("acknowledgedReceived")).toBe(1);
  expect(world.count("acknowledgedStored")).toBe(0);
});

test("rules apply to topics whose names left the cache and came back", () => {
  const { world, publisher } = opened({ limits: { topicTableBytesMax: 65_536 } });
  for (let n = 0; n < 2000; n++) publisher.publishes(`elsewhere/${n}/${"x".repeat(50)}`, "");
  publisher.publishes("t/a", "x", { qos: 1, id: 1 });
  publisher.publishes("t/stored/a", "x", { qos: 1, id: 2 });
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #2"]);
});
