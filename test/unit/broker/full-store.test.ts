// While the store has no room, or takes seconds for a commit, only clients whose packets need it wait.
import { expect, test } from "vitest";
import type { Seq } from "../../../core/mod.ts";
import { inspect, Table, WriteBatch } from "../../../core/mod.ts";
import { pair, type TestBroker } from "../../support/broker.ts";
import {
  type connect,
  disconnect,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
} from "../../support/packets.ts";

/** A full store. `subscriber` has a kept session, `publisher` has published one message to it. */
function full({ granted = 1 } = {}) {
  const opened = pair({ granted, durable: "when told" });
  opened.publisher.publishes("t", "first", { qos: 1, id: 1 });
  opened.world.refuseCommit();
  return opened;
}

test("a publisher that needs the full store is neither acknowledged nor read until there is room", () => {
  const { world, subscriber, publisher } = full();
  publisher.publishes("t", "second", { qos: 1, id: 2 });
  publisher.publishes("t", "third", { qos: 1, id: 3 });
  expect([publisher.takes(), publisher.isReading]).toEqual([[], false]);
  world.refuseCommit();
  expect([publisher.takes(), publisher.isReading]).toEqual([[], false]);
  expect(inspect(world.broker).journal).toMatchObject({ isFull: true, hasFailed: false });
  expect([world.count("storeFull"), world.count("commitsFailed")]).toEqual([1, 2]);
  world.commitRefused();
  expect(publisher.isReading).toBe(true);
  expect(publisher.takes()).toEqual(["PUBACK #1", "PUBACK #2", "PUBACK #3"]);
  expect(subscriber.takes()).toEqual([
    'PUBLISH t "first" q1 #1',
    'PUBLISH t "second" q1 #2',
    'PUBLISH t "third" q1 #3',
  ]);
  expect(world.records(Table.Message)).toBe(3);
  expect(inspect(world.broker).journal).toMatchObject({ isFull: false, hasFailed: false });
  expect(world.count("storeFull")).toBe(0);
});

test("a crash while the store is full loses no acknowledged message", () => {
  const { world, publisher } = full();
  world.commitRefused();
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  publisher.publishes("t", "second", { qos: 1, id: 2 });
  world.refuseCommit();
  const again = world.crash(0, { durable: "at once" });
  const subscriber = again.connected({ clientId: "s", clean: false });
  expect(subscriber.takes()).toEqual(['PUBLISH t "first" q1 #1 dup']);
});

test("messages that the store need not keep are acknowledged and delivered while it is full", () => {
  const { world, subscriber, publisher } = full();
  subscriber.takes();
  const reader = world.connected("reader");
  reader.subscribes(1, ["live", 2]);
  expect(reader.takes()).toEqual(["SUBACK #1 2"]);
  const other = world.connected("other");
  for (const qos of [0, 1, 2] as const) other.publishes("live", `${qos}`, { qos, id: qos });
  other.publishes("nobody", "", { qos: 1, id: 9 });
  other.publishes("t", "at QoS 0");
  expect(other.takes()).toEqual(["PUBACK #1", "PUBREC #2", "PUBACK #9"]);
  other.send(pubrel(2), pingreq);
  expect(other.takes()).toEqual(["PUBCOMP #2", "PINGRESP"]);
  expect(reader.takes()).toEqual([
    'PUBLISH live "0" q0',
    'PUBLISH live "1" q1 #1',
    'PUBLISH live "2" q2 #2',
  ]);
  reader.send(puback(1), pubrec(2));
  expect(reader.takes()).toEqual(["PUBREL #2"]);
  reader.send(pubcomp(2));
  reader.unsubscribes(2, "live");
  expect(reader.takes()).toEqual(["UNSUBACK #2"]);
  expect(subscriber.takes()).toEqual(['PUBLISH t "at QoS 0" q0']);
  expect([other.isReading, reader.isReading, publisher.isReading]).toEqual([true, true, true]);
  publisher.publishes("t", "second", { qos: 1, id: 2 });
  expect([publisher.takes(), publisher.isReading]).toEqual([[], false]);
});

test("[MQTT311-4.6.0-2] an acknowledgement that needs no commit stays behind one that does", () => {
  const { world, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.send(publish("t", "", { qos: 1, id: 1 }), publish("nobody", "", { qos: 1, id: 2 }));
  expect(publisher.takes()).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #1", "PUBACK #2"]);
});

test("the subscriber of a kept session is read while the store is full", () => {
  const { world, subscriber } = pair({ granted: 2, durable: "when told" });
  const publisher = world.connected("w");
  publisher.send(publish("t", "1", { qos: 1, id: 1 }), publish("t", "2", { qos: 2, id: 2 }));
  world.commit();
  expect(subscriber.takes()).toEqual(['PUBLISH t "1" q1 #1', 'PUBLISH t "2" q2 #2']);
  publisher.publishes("t", "3", { qos: 1, id: 3 });
  world.refuseCommit();
  expect(subscriber.takes()).toEqual(['PUBLISH t "3" q1 #3']);
  subscriber.send(puback(1), puback(3), pubrec(2));
  subscriber.send(pingreq);
  // PUBREL and what follows wait for the record of the PUBREC.
  expect([subscriber.takes(), subscriber.isReading]).toEqual([["PINGRESP"], true]);
  world.commitRefused();
  expect(subscriber.takes()).toEqual(["PUBREL #2"]);
});

test("a CONNECT that needs the full store is refused with 0x97, before 5.0 with return code 3", () => {
  const { world, subscriber } = full();
  const reply = (fields: Parameters<typeof connect>[0]): string | undefined =>
    world.open().connects(fields).takes()[0];
  const props = { SessionExpiryInterval: 60 };
  expect(reply({ level: 5, clientId: "a", clean: true, props })).toMatch(
    /^CONNACK present=0 QuotaExceeded/,
  );
  expect(reply({ level: 4, clientId: "a", clean: false })).toBe("CONNACK present=0 code=3");
  expect(reply({ level: 3, clientId: "a", clean: false })).toBe("CONNACK present=0 code=3");
  // It would end the stored session.
  expect(reply({ clientId: "s", clean: true })).toBe("CONNACK present=0 code=3");
  const will = { topic: "gone", payload: "" };
  expect(reply({ clientId: "a", will })).toBe("CONNACK present=0 code=3");
  expect(reply({ clientId: "a" })).toBe("CONNACK present=0 code=0");
  expect(reply({ level: 5, clientId: "b" })).toMatch(/^CONNACK present=0/);
  // The client whose session could not be taken over keeps its connection.
  expect(subscriber.isOpen).toBe(true);
  world.commitRefused();
  const again = world.open().connects({ clientId: "s", clean: false });
  world.commit();
  expect(again.takes()[0]).toBe("CONNACK present=1 code=0");
});

test("a client that connected while the store was full is served as before when there is room", () => {
  const { world } = full();
  const client = world.connected("p2");
  client.publishes("t", "late", { qos: 1, id: 5 });
  expect(client.takes()).toEqual([]);
  world.commitRefused();
  expect(client.takes()).toEqual(["PUBACK #5"]);
});

test("a retained message at QoS 0 does not stop its publisher; at QoS 1 it is not acknowledged", () => {
  const { world } = full();
  const publisher = world.connected("r");
  publisher.publishes("a", "1", { retain: true });
  expect(publisher.isReading).toBe(true);
  publisher.publishes("a", "2", { qos: 1, id: 1, retain: true });
  expect([publisher.takes(), publisher.isReading]).toEqual([[], false]);
  world.commitRefused();
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  expect(world.records(Table.Retained)).toBe(1);
});

test("removing a retained message is acknowledged after the commit of an earlier removal", () => {
  const { world, publisher } = pair({ granted: 0, durable: "when told" });
  publisher.publishes("r", "x", { retain: true });
  world.commit();
  const other = world.connected("other");
  publisher.publishes("r", "", { retain: true });
  other.publishes("r", "", { qos: 1, id: 1, retain: true });
  expect(other.takes()).toEqual([]);
  world.commit();
  expect(other.takes()).toEqual(["PUBACK #1"]);
});

test("PUBCOMP for an identifier without a receipt waits for the commit of its removal", () => {
  const { world } = pair({ durable: "when told" });
  const publisher = world.open().connects({ clientId: "kept writer", clean: false });
  world.commit();
  publisher.publishes("nobody", "x", { qos: 2, id: 9 });
  world.commit();
  publisher.takes();
  publisher.send(pubrel(9), disconnect);
  const again = world.open().connects({ clientId: "kept writer", clean: false });
  again.send(pubrel(9));
  expect(again.takes()).toEqual([]);
  world.commit();
  expect(again.takes()).toEqual(["CONNACK present=1 code=0", "PUBCOMP #9"]);
});

test("while a commit takes long, only clients whose packets need the store wait", () => {
  const { world, subscriber, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.publishes("t", "x", { qos: 1, id: 1 });
  const batch = new WriteBatch();
  world.broker.pollJournal(batch);
  world.advance(5000);
  const other = world.connected("other");
  const reader = world.connected("reader").subscribes(1, ["live", 1]);
  other.publishes("live", "y", { qos: 1, id: 1 });
  expect(reader.takes()).toEqual(["SUBACK #1 1", 'PUBLISH live "y" q1 #1']);
  expect(other.takes()).toEqual(["PUBACK #1"]);
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q1 #1']);
  expect(publisher.takes()).toEqual([]);
  world.broker.handleCommit(batch.lastSeq, world.now);
  world.drain();
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
});

test("the durations of commits are counted in buckets, without those of a full store", () => {
  const { world, publisher } = pair({ granted: 1, durable: "when told" });
  const { commits, commitMillis, commitsWithin1Millis, commitsWithin3000Millis } = counts(world);
  let id = 0;
  const commitIn = (millis: number): void => {
    publisher.publishes("t", "x", { qos: 1, id: ++id });
    const batch = new WriteBatch();
    world.broker.pollJournal(batch);
    world.advance(millis);
    world.broker.handleCommit(batch.lastSeq as Seq, world.now);
    world.drain();
  };
  for (const millis of [0, 1, 2, 3, 4, 1000, 1001, 3000, 10_000, 10_001, 60_000]) commitIn(millis);
  publisher.publishes("t", "x", { qos: 1, id: ++id });
  world.refuseCommit();
  world.advance(5000);
  world.commitRefused();
  expect(counts(world)).toEqual({
    commits: commits + 11,
    commitMillis: commitMillis + 85_012,
    commitsWithin1Millis: commitsWithin1Millis + 2,
    commitsWithin3Millis: 2,
    commitsWithin10Millis: 1,
    commitsWithin1000Millis: 1,
    commitsWithin3000Millis: commitsWithin3000Millis + 2,
    commitsWithin10000Millis: 1,
    commitsOver10000Millis: 2,
  });
});

/** The counters of commits that are not 0, and 0 for those that a test may read. */
function counts(world: TestBroker): Record<string, number> & Commits {
  const { counters } = inspect(world.broker);
  const counted = Object.entries(counters).filter(([name]) =>
    /^commit(s|Millis)(?!Failed)/.test(name),
  );
  return Object.assign(
    { commits: 0, commitMillis: 0, commitsWithin1Millis: 0, commitsWithin3000Millis: 0 },
    Object.fromEntries(counted),
  );
}

type Commits = Record<
  "commits" | "commitMillis" | "commitsWithin1Millis" | "commitsWithin3000Millis",
  number
>;
