// With a durable store nothing is acknowledged before it is committed, in order, and what is not sent
// before a commit is not sent. Here the store commits when it is told to.
import { expect, test } from "vitest";
import type { Seq } from "../../../core/mod.ts";
import { Table, WriteBatch } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  connect,
  disconnect,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
} from "../../support/packets.ts";

/** A world with a persistent subscriber to `t` at `qos`, connected, and a publisher. */
function world(qos = 1, limits = {}) {
  const broker = new TestBroker({ durable: "when told", limits });
  const reader = broker.open();
  reader.send(connect({ clientId: "reader", clean: false }));
  broker.commit();
  reader.send(subscribe(1, ["t", qos]));
  broker.commit();
  reader.takes();
  const writer = broker.connected("writer");
  return { broker, reader, writer };
}

test("the CONNACK of a kept session waits for its commit, and every other packet waits for the CONNACK", () => {
  const broker = new TestBroker({ durable: "when told" });
  const client = broker.open();
  client.send(connect({ clientId: "c", clean: false }), pingreq);
  expect(client.takes()).toEqual([]);
  broker.commit();
  expect(client.takes()).toEqual(["CONNACK present=0 code=0", "PINGRESP"]); // [MQTT311-3.2.0-1]
  expect(broker.records(Table.Session)).toBe(1);
});

test("the CONNACK of a session that is not kept does not wait for a commit", () => {
  const broker = new TestBroker({ durable: "when told" });
  broker.connected({ clientId: "c", clean: true });
  expect(broker.commit()).toBe(false);
});

test("SUBACK and UNSUBACK wait for the commit", () => {
  const broker = new TestBroker({ durable: "when told" });
  const client = broker.open();
  client.send(connect({ clientId: "c", clean: false }));
  broker.commit();
  client.takes();
  client.send(subscribe(1, ["t", 1]));
  expect(client.takes()).toEqual([]);
  broker.commit();
  expect(client.takes()).toEqual(["SUBACK #1 1"]);
  expect(broker.records(Table.Subscription)).toBe(1);
  client.send(unsubscribe(2, "t"));
  expect(client.takes()).toEqual([]);
  broker.commit();
  expect(client.takes()).toEqual(["UNSUBACK #2"]);
  expect(broker.records(Table.Subscription)).toBe(0);
});

test("QoS 1 is forwarded before the commit and acknowledged after it", () => {
  const { broker, reader, writer } = world();
  writer.send(publish("t", "x", { qos: 1, id: 7 }));
  expect(reader.takes()).toEqual(['PUBLISH t "x" q1 #1']);
  expect(writer.takes()).toEqual([]);
  broker.commit();
  expect(writer.takes()).toEqual(["PUBACK #7"]);
  expect(broker.records(Table.Message)).toBe(1);
  expect(broker.records(Table.Queue)).toBe(1);
});

test("acknowledgements keep their order whether or not they wait for a commit", () => {
  const { broker, writer } = world();
  writer.send(publish("t", "x", { qos: 1, id: 1 }));
  writer.send(publish("nobody", "x", { qos: 1, id: 2 }), publish("t", "x", { qos: 1, id: 3 }));
  expect(writer.takes()).toEqual([]);
  broker.commit();
  expect(writer.takes()).toEqual(["PUBACK #1", "PUBACK #2", "PUBACK #3"]);
});

test("a commit releases the replies up to its number and no later ones", () => {
  const { broker, writer } = world();
  const batch = new WriteBatch();
  writer.send(publish("t", "1", { qos: 1, id: 1 }));
  expect(broker.broker.pollJournal(batch)).toBe(true);
  writer.send(publish("t", "2", { qos: 1, id: 2 }));
  broker.broker.handleCommit((batch.lastSeq - 1) as Seq, broker.now);
  broker.drain();
  expect(writer.takes()).toEqual([]);
  broker.broker.handleCommit(batch.lastSeq, broker.now);
  broker.drain();
  expect(writer.takes()).toEqual(["PUBACK #1"]);
});

test("a message, its queue entries and its receipt are one batch, also when delivered in slices", () => {
  const broker = new TestBroker({ durable: "when told", limits: { fanoutSlice: 16 } });
  for (let n = 0; n < 50; n++) {
    const client = broker.open();
    client.send(connect({ clientId: `r${n}`, clean: false }), subscribe(1, ["t", 1]), disconnect);
  }
  broker.commit();
  const writer = broker.open();
  writer.send(connect({ clientId: "w", clean: false }));
  broker.commit();
  writer.takes();
  broker.drains = false;
  writer.send(publish("t", "x", { qos: 2, id: 9 }));
  const batch = new WriteBatch();
  expect(broker.broker.pollJournal(batch)).toBe(false);
  broker.drain();
  expect(broker.broker.pollJournal(batch)).toBe(true);
  expect(batch.count).toBe(1 + 1 + 50); // the receipt, the message, and 50 who are owed it
});

test("a QoS 2 message is forwarded and acknowledged only after its receipt is durable", () => {
  const { broker, reader } = world(2);
  const writer = broker.open();
  writer.send(connect({ clientId: "kept writer", clean: false }));
  broker.commit();
  writer.takes();
  const live = broker.connected("live");
  live.send(subscribe(1, ["t", 0]));
  live.takes();
  writer.send(publish("t", "x", { qos: 2, id: 9 }));
  expect([...writer.takes(), ...reader.takes(), ...live.takes()]).toEqual([]);
  broker.commit();
  expect(writer.takes()).toEqual(["PUBREC #9"]);
  expect(reader.takes()).toEqual(['PUBLISH t "x" q2 #1']);
  expect(live.takes()).toEqual(['PUBLISH t "x" q0']);
});

test("PUBCOMP waits for the removal of the receipt", () => {
  const { broker } = world();
  const writer = broker.open();
  writer.send(connect({ clientId: "kept writer", clean: false }));
  broker.commit();
  writer.send(publish("nobody", "x", { qos: 2, id: 9 }));
  broker.commit();
  writer.takes();
  expect(broker.records(Table.Queue)).toBe(1);
  writer.send(pubrel(9));
  expect(writer.takes()).toEqual([]);
  broker.commit();
  expect(writer.takes()).toEqual(["PUBCOMP #9"]);
  expect(broker.records(Table.Queue)).toBe(0);
});

test("a QoS 2 message from the queue is sent only after its packet identifier is durable", () => {
  const { broker, reader, writer } = world(2, { inflightMax: 1 });
  writer.send(publish("t", "1", { qos: 2, id: 1 }), publish("t", "2", { qos: 2, id: 2 }));
  broker.commit();
  expect(reader.takes()).toEqual(['PUBLISH t "1" q2 #1']);
  reader.send(pubrec(1));
  expect(reader.takes()).toEqual([]); // PUBREL waits for the record that it was received
  broker.commit();
  expect(reader.takes()).toEqual(["PUBREL #1"]);
  reader.send(pubcomp(1));
  expect(reader.takes()).toEqual([]);
  broker.commit();
  expect(reader.takes()).toEqual(['PUBLISH t "2" q2 #2']);
});

test("a message acknowledged by every subscriber leaves no record", () => {
  const { broker, reader, writer } = world();
  writer.send(publish("t", "1", { qos: 1, id: 1 }), publish("t", "2", { qos: 1, id: 2 }));
  broker.commit();
  expect(broker.records(Table.Message)).toBe(2);
  reader.send(puback(1), puback(2));
  broker.commit();
  expect(broker.records(Table.Message)).toBe(0);
  expect(broker.records(Table.Queue)).toBe(0);
});

test("messages queued for an offline session are recorded in order", () => {
  const { broker, reader, writer } = world();
  reader.send(disconnect);
  for (let n = 1; n <= 3; n++) writer.send(publish("t", `${n}`, { qos: 1, id: n }));
  broker.commit();
  expect(broker.records(Table.Queue)).toBe(3);
  const numbers = [...broker.store.keys()]
    .filter((key) => key.startsWith(`${Table.Queue}/`))
    .map((key) => Number.parseInt(key.slice(-8), 16));
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
});

test("retained messages are recorded, replaced and removed; $SYS topics are not", () => {
  const { broker, writer } = world(1, { sysMillis: 1000 });
  writer.send(publish("r", "1", { retain: true }), publish("r", "22", { retain: true }));
  broker.advance(5000);
  broker.commit();
  expect(broker.count("retainedMessages")).toBeGreaterThan(10);
  expect(broker.records(Table.Retained)).toBe(1);
  expect(broker.records(Table.Message)).toBe(1);
  writer.send(publish("r", "", { retain: true }));
  broker.commit();
  expect(broker.records(Table.Retained)).toBe(0);
  expect(broker.records(Table.Message)).toBe(0);
});

test("the end of a session removes its records", () => {
  const { broker, reader, writer } = world(2, { sessionMillisMax: 86_400_000 });
  writer.send(publish("t", "x", { qos: 2, id: 1 }), publish("t", "y", { qos: 1, id: 2 }));
  reader.send(publish("t", "z", { qos: 2, id: 5 }), disconnect);
  broker.commit();
  expect(broker.store.size).toBeGreaterThan(5);
  broker.advance(86_400_000);
  broker.commit();
  expect(broker.store.size).toBe(0);
});

test("stops reading a client while too many of its writes wait for the store", () => {
  const { broker, writer } = world(1, { journalBacklogMax: 10 });
  for (let id = 1; id <= 5; id++) writer.send(publish("t", "x", { qos: 1, id }));
  expect(writer.isReading).toBe(false);
  writer.send(publish("t", "held", { qos: 1, id: 6 }));
  expect(broker.count("publishesReceived")).toBe(5);
  broker.commit();
  expect(writer.isReading).toBe(true);
  broker.commit();
  expect(writer.takes()).toHaveLength(6);
});

test("after a store failure, nothing is acknowledged or read, and CONNECT is refused", () => {
  const { broker, reader, writer } = world();
  writer.send(publish("t", "x", { qos: 1, id: 1 }));
  const batch = new WriteBatch();
  broker.broker.pollJournal(batch);
  broker.broker.handleCommitFailure(batch.lastSeq, false, broker.now);
  writer.send(publish("t", "y", { qos: 1, id: 2 }));
  expect(writer.takes()).toEqual([]);
  expect(writer.isReading).toBe(false);
  expect(reader.takes()).toHaveLength(2);
  const late = broker.open();
  late.send(connect({ clientId: "late" }));
  expect(late.takes()).toEqual(["CONNACK present=0 code=3"]);
  expect(broker.count("commitsFailed")).toBe(1);
});

test("a store that retries loses nothing", () => {
  const { broker, writer } = world();
  writer.send(publish("t", "x", { qos: 1, id: 1 }));
  const batch = new WriteBatch();
  broker.broker.pollJournal(batch);
  broker.broker.handleCommitFailure(batch.lastSeq, true, broker.now);
  expect(writer.takes()).toEqual([]);
  broker.broker.handleCommit(batch.lastSeq, broker.now);
  broker.drain();
  expect(writer.takes()).toEqual(["PUBACK #1"]);
});

test("the expiry of an offline session is recorded by the current wall clock", () => {
  const { broker, reader } = world(1, { sessionMillisMax: 1000 });
  broker.broker.handleClock(1_800_000_000_000, broker.now);
  reader.send(disconnect);
  broker.commit();
  const [, session] = [...broker.store].find(([key]) => key.startsWith(`${Table.Session}/`))!;
  expect(Buffer.from(session).readDoubleBE(5)).toBe(1_800_000_001_000);
});
