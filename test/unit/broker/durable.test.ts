// With a durable store, replies and messages that depend on a record wait for its commit. Here the store commits when
// the test calls `commit`.
import { describe, expect, test } from "vitest";
import { JournalState, type Seq, Table, WriteBatch } from "../../../core/mod.ts";
import { pair, TestBroker } from "../../support/broker.ts";
import {
  concat,
  connect,
  disconnect,
  disconnectWith,
  mqtt5,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
} from "../../support/packets.ts";

test("the CONNACK of a kept session waits for its commit, and every other packet waits for the CONNACK", () => {
  const world = new TestBroker({ durable: "when told" });
  const client = world.open();
  client.send(connect({ clientId: "c", clean: false }), pingreq);
  expect(client.takes()).toEqual([]);
  world.commit();
  expect(client.takes()).toEqual(["CONNACK present=0 code=0", "PINGRESP"]); // [MQTT311-3.2.0-1]
  expect(world.records(Table.Session)).toBe(1);
});

test("the CONNACK of a session that is not kept does not wait for a commit", () => {
  const world = new TestBroker({ durable: "when told" });
  world.connected({ clientId: "c", clean: true });
  expect(world.commit()).toBe(false);
});

test.each([
  ["expired", 2000],
  ["was ended by DISCONNECT", 0],
])(
  "the CONNACK of a client whose kept session %s waits until the end of that session is stored",
  (_, millis) => {
    const world = new TestBroker({ durable: "when told" });
    const kept = { level: 5, clientId: "c", clean: false } as const;
    const client = world.open().connects({ ...kept, props: { SessionExpiryInterval: 1 } });
    world.commit();
    client.takes();
    if (millis > 0) client.cut();
    else client.send(disconnectWith(0, { SessionExpiryInterval: 0 }));
    world.advance(millis);
    const again = world.open().connects(kept);
    // After a crash the earlier session would be there again, with messages that this client has forgotten.
    expect(again.takes()).toEqual([]);
    world.commit();
    expect(again.takes()).toEqual([expect.stringContaining("CONNACK present=0")]);
    expect(world.records(Table.Session)).toBe(0);
  },
);

test("SUBACK and UNSUBACK wait for the commit", () => {
  const world = new TestBroker({ durable: "when told" });
  const client = world.open();
  client.connects({ clientId: "c", clean: false });
  world.commit();
  client.takes();
  client.subscribes(1, ["t", 1]);
  expect(client.takes()).toEqual([]);
  world.commit();
  expect(client.takes()).toEqual(["SUBACK #1 1"]);
  expect(world.records(Table.Subscription)).toBe(1);
  client.unsubscribes(2, "t");
  expect(client.takes()).toEqual([]);
  world.commit();
  expect(client.takes()).toEqual(["UNSUBACK #2"]);
  expect(world.records(Table.Subscription)).toBe(0);
});

test("acknowledges QoS 1 only after the commit", () => {
  const { world, subscriber, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.publishes("t", "x", { qos: 1, id: 7 });
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q1 #1']);
  expect(publisher.takes()).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #7"]);
  expect(world.records(Table.Message)).toBe(1);
  expect(world.records(Table.Queue)).toBe(1);
});

test("acknowledgements keep their order whether or not they wait for a commit", () => {
  const { world, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.publishes("t", "x", { qos: 1, id: 1 });
  publisher.send(publish("nobody", "x", { qos: 1, id: 2 }), publish("t", "x", { qos: 1, id: 3 }));
  expect(publisher.takes()).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBACK #1", "PUBACK #2", "PUBACK #3"]);
});

test("a commit releases the replies up to its number and no later ones", () => {
  const { world, publisher } = pair({ granted: 1, durable: "when told" });
  const batch = new WriteBatch();
  publisher.publishes("t", "1", { qos: 1, id: 1 });
  expect(world.broker.pollJournal(batch)).toBe(true);
  publisher.publishes("t", "2", { qos: 1, id: 2 });
  world.broker.handleCommit((batch.lastSeq - 1) as Seq, world.now);
  world.drain();
  expect(publisher.takes()).toEqual([]);
  world.broker.handleCommit(batch.lastSeq, world.now);
  world.drain();
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
});

test("a message, its queue entries and its receipt are one batch, also when delivered in slices", () => {
  const world = new TestBroker({ durable: "when told", limits: { fanoutSlice: 16 } });
  for (let n = 0; n < 50; n++) {
    const client = world.open();
    client.send(connect({ clientId: `r${n}`, clean: false }), subscribe(1, ["t", 1]), disconnect);
  }
  world.commit();
  const publisher = world.open();
  publisher.connects({ clientId: "w", clean: false });
  world.commit();
  publisher.takes();
  world.drains = false;
  publisher.publishes("t", "x", { qos: 2, id: 9 });
  const batch = new WriteBatch();
  expect(world.broker.pollJournal(batch)).toBe(false);
  world.drain();
  expect(world.broker.pollJournal(batch)).toBe(true);
  expect(batch.count).toBe(1 + 1 + 50); // the receipt, the message, and 50 queue entries
});

test("a QoS 2 message is forwarded and acknowledged only after its receipt is durable", () => {
  const { world, subscriber } = pair({ granted: 2, durable: "when told" });
  const publisher = world.open();
  publisher.connects({ clientId: "kept writer", clean: false });
  world.commit();
  publisher.takes();
  const live = world.connected("live");
  live.subscribes(1, ["t", 0]);
  live.takes();
  publisher.publishes("t", "x", { qos: 2, id: 9 });
  expect([...publisher.takes(), ...subscriber.takes(), ...live.takes()]).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBREC #9"]);
  expect(subscriber.takes()).toEqual(['PUBLISH t "x" q2 #1']);
  expect(live.takes()).toEqual(['PUBLISH t "x" q0']);
});

test("PUBCOMP waits for the removal of the receipt", () => {
  const { world } = pair({ granted: 1, durable: "when told" });
  const publisher = world.open();
  publisher.connects({ clientId: "kept writer", clean: false });
  world.commit();
  publisher.publishes("nobody", "x", { qos: 2, id: 9 });
  world.commit();
  publisher.takes();
  expect(world.records(Table.Queue)).toBe(1);
  publisher.send(pubrel(9));
  expect(publisher.takes()).toEqual([]);
  world.commit();
  expect(publisher.takes()).toEqual(["PUBCOMP #9"]);
  expect(world.records(Table.Queue)).toBe(0);
});

test("a QoS 2 message from the queue is sent only after its packet identifier is durable", () => {
  const { world, subscriber, publisher } = pair({
    granted: 2,
    durable: "when told",
    limits: { inflightMax: 1 },
  });
  publisher.send(publish("t", "1", { qos: 2, id: 1 }), publish("t", "2", { qos: 2, id: 2 }));
  world.commit();
  expect(subscriber.takes()).toEqual(['PUBLISH t "1" q2 #1']);
  subscriber.send(pubrec(1));
  expect(subscriber.takes()).toEqual([]); // PUBREL waits for the record of the PUBREC
  world.commit();
  expect(subscriber.takes()).toEqual(["PUBREL #1"]);
  subscriber.send(pubcomp(1));
  expect(subscriber.takes()).toEqual([]);
  world.commit();
  expect(subscriber.takes()).toEqual(['PUBLISH t "2" q2 #2']);
});

test("a message acknowledged by every subscriber leaves no record", () => {
  const { world, subscriber, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.send(publish("t", "1", { qos: 1, id: 1 }), publish("t", "2", { qos: 1, id: 2 }));
  world.commit();
  expect(world.records(Table.Message)).toBe(2);
  subscriber.send(puback(1), puback(2));
  world.commit();
  expect(world.records(Table.Message)).toBe(0);
  expect(world.records(Table.Queue)).toBe(0);
});

test("messages queued for an offline session are recorded in order", () => {
  const { world, subscriber, publisher } = pair({ granted: 1, durable: "when told" });
  subscriber.send(disconnect);
  for (let n = 1; n <= 3; n++) publisher.publishes("t", `${n}`, { qos: 1, id: n });
  world.commit();
  expect(world.records(Table.Queue)).toBe(3);
  const numbers = [...world.store.keys()]
    .filter((key) => key.startsWith(`${Table.Queue}/`))
    .map((key) => Number.parseInt(key.slice(-8), 16));
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
});

test("retained messages are recorded, replaced and removed; $SYS topics are not", () => {
  const { world, publisher } = pair({
    granted: 1,
    durable: "when told",
    limits: { sysMillis: 1000 },
  });
  publisher.send(publish("r", "1", { retain: true }), publish("r", "22", { retain: true }));
  world.advance(5000);
  world.commit();
  expect(world.count("retainedMessages")).toBeGreaterThan(10);
  expect(world.records(Table.Retained)).toBe(1);
  expect(world.records(Table.Message)).toBe(1);
  publisher.publishes("r", "", { retain: true });
  world.commit();
  expect(world.records(Table.Retained)).toBe(0);
  expect(world.records(Table.Message)).toBe(0);
});

test("the end of a session removes its records", () => {
  const { world, subscriber, publisher } = pair({
    granted: 2,
    durable: "when told",
    limits: { sessionMillisMax: 86_400_000 },
  });
  publisher.send(publish("t", "x", { qos: 2, id: 1 }), publish("t", "y", { qos: 1, id: 2 }));
  subscriber.send(publish("t", "z", { qos: 2, id: 5 }), disconnect);
  world.commit();
  expect(world.store.size).toBeGreaterThan(5);
  world.advance(86_400_000);
  world.commit();
  expect(world.store.size).toBe(0);
});

test("stops reading a client while too many of its writes wait for the store", () => {
  const { world, publisher } = pair({
    granted: 1,
    durable: "when told",
    limits: { journalBacklogMax: 10 },
  });
  for (let id = 1; id <= 5; id++) publisher.publishes("t", "x", { qos: 1, id });
  expect(publisher.isReading).toBe(false);
  publisher.publishes("t", "held", { qos: 1, id: 6 });
  expect(world.count("publishesReceived")).toBe(5);
  world.commit();
  expect(publisher.isReading).toBe(true);
  world.commit();
  expect(publisher.takes()).toHaveLength(6);
});

test("stops reading a client while the writes that wait for the store are too large", () => {
  const { world, publisher } = pair({
    granted: 1,
    durable: "when told",
    limits: { journalBytesMax: 1024 * 1024 },
  });
  const payload = new Uint8Array(300_000);
  const batch = new WriteBatch();
  publisher.publishes("t", payload, { qos: 1, id: 1 });
  publisher.publishes("t", payload, { qos: 1, id: 2 });
  // Those that the store has, but has not committed, count too.
  world.broker.pollJournal(batch);
  publisher.publishes("t", payload, { qos: 1, id: 3 });
  expect(publisher.isReading).toBe(true);
  publisher.publishes("t", payload, { qos: 1, id: 4 });
  expect(publisher.isReading).toBe(false);
  world.broker.handleCommit(batch.lastSeq, world.now);
  world.drain();
  expect(publisher.isReading).toBe(true);
  expect(publisher.takes()).toEqual(["PUBACK #1", "PUBACK #2"]);
});

test("after a store failure, nothing is acknowledged or read, and CONNECT is refused", () => {
  const { world, subscriber, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.publishes("t", "x", { qos: 1, id: 1 });
  const batch = new WriteBatch();
  world.broker.pollJournal(batch);
  world.broker.handleCommitFailure(batch.lastSeq, false, world.now);
  publisher.publishes("t", "y", { qos: 1, id: 2 });
  expect(publisher.takes()).toEqual([]);
  expect(publisher.isReading).toBe(false);
  expect(subscriber.takes()).toHaveLength(2);
  const late = world.open();
  late.connects({ clientId: "late" });
  expect(late.takes()).toEqual(["CONNACK present=0 code=3"]);
  expect(world.count("commitsFailed")).toBe(1);
});

test("a store that retries loses nothing", () => {
  const { world, publisher } = pair({ granted: 1, durable: "when told" });
  publisher.publishes("t", "x", { qos: 1, id: 1 });
  const batch = new WriteBatch();
  world.broker.pollJournal(batch);
  world.broker.handleCommitFailure(batch.lastSeq, true, world.now);
  expect(publisher.takes()).toEqual([]);
  world.broker.handleCommit(batch.lastSeq, world.now);
  world.drain();
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
});

test("the expiry of an offline session is recorded by the current wall clock", () => {
  const { world, subscriber } = pair({
    granted: 1,
    durable: "when told",
    limits: { sessionMillisMax: 1000 },
  });
  world.broker.handleClock(1_800_000_000_000, world.now);
  subscriber.send(disconnect);
  world.commit();
  const [, session] = [...world.store].find(([key]) => key.startsWith(`${Table.Session}/`))!;
  expect(Buffer.from(session).readDoubleBE(5)).toBe(1_800_000_001_000);
});

describe("a burst that ends the connection", () => {
  const burst = (...packets: Uint8Array[]) => {
    const broker = new TestBroker({ durable: "when told" });
    const client = broker.open();
    client.send(concat(...packets));
    return { broker, client };
  };
  const kept = connect({ clientId: "c", clean: false });

  test("gets every reply after the commit, then the connection closes", () => {
    const { broker, client } = burst(kept, subscribe(1, ["t", 1]), disconnect);
    expect([client.takes(), client.isOpen]).toEqual([[], true]);
    broker.commit();
    expect(client.takes()).toEqual(["CONNACK present=0 code=0", "SUBACK #1 1"]);
    expect(client.isOpen).toBe(false);
  });

  test("gets PUBACK for a message that the store has to keep", () => {
    const broker = new TestBroker({ durable: "when told" });
    broker.open().send(kept, subscribe(1, ["t", 1]), disconnect);
    broker.commit();
    const publisher = broker.open();
    publisher.send(concat(connect({ clientId: "p" }), publish("t", "x", { qos: 1 }), disconnect));
    broker.commit();
    expect(publisher.takes()).toEqual(["CONNACK present=0 code=0", "PUBACK #1"]);
    expect(publisher.isOpen).toBe(false);
  });

  test("gets the DISCONNECT of MQTT 5.0 behind the replies that wait", () => {
    const props = { SessionExpiryInterval: 100 };
    const five = connect({ level: 5, clientId: "c", clean: false, props });
    const { broker, client } = burst(five, mqtt5.subscribe(1, ["t", 1]), Uint8Array.of(0xf1, 0));
    broker.commit();
    expect(client.takes().map((line) => line.split(" ")[0])).toEqual([
      "CONNACK",
      "SUBACK",
      "DISCONNECT",
    ]);
    expect(client.isOpen).toBe(false);
  });

  test("is cut off if the store does not commit", () => {
    const { broker, client } = burst(kept, disconnect);
    broker.advance(1000);
    expect([client.takes(), client.isOpen]).toEqual([[], false]);
    broker.commit();
    expect(client.takes()).toEqual([]);
  });
});

test("output waits for the writes of a message, and none for those of its acknowledgement by a receiver", () => {
  const world = new TestBroker({ durable: "when told" });
  const reader = world.open().connects({ clientId: "reader", clean: false });
  reader.subscribes(1, ["t", 1]);
  expect(world.broker.journalState).toBe(JournalState.Awaited);
  world.commit();
  expect(world.broker.journalState).toBe(JournalState.Empty);
  const writer = world.connected({ clientId: "writer" });
  writer.send(publish("t", "x", { qos: 1, id: 7 }));
  expect(world.broker.journalState).toBe(JournalState.Awaited);
  world.commit();
  expect(writer.takes()).toEqual(["PUBACK #7"]);
  reader.send(puback(1));
  expect(world.broker.journalState).toBe(JournalState.Unawaited);
  world.commit();
  expect([world.broker.journalState, world.records(Table.Message)]).toEqual([
    JournalState.Empty,
    0,
  ]);
});
