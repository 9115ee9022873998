// A broker that recovers from a store goes on where the last commit was: sessions, subscriptions,
// queued and unacknowledged messages, retained messages, wills and expiry.
import { describe, expect, test } from "vitest";
import { viewOf } from "../../../core/base/bytes.ts";
import { inspect, readBatch, Table, WriteBatch } from "../../../core/mod.ts";
import type { Properties } from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  type ConnectFields,
  connect,
  disconnect,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
} from "../../support/packets.ts";

const durable = { durable: "at once" } as const;
const kept = (clientId: string) => connect({ clientId, clean: false });

/** A broker with a kept session `reader` subscribed to `t` at `qos`, whose client is connected. */
function withReader(qos = 1) {
  const broker = new TestBroker(durable);
  const reader = broker.open();
  reader.send(kept("reader"), subscribe(1, ["t", qos]));
  reader.takes();
  const writer = broker.connected("writer");
  return { broker, reader, writer };
}

test("[MQTT311-3.1.2-5] queued messages survive a crash, in order, and are delivered once", () => {
  const { broker, reader, writer } = withReader();
  reader.cut();
  for (const [id, payload] of [
    [1, "a"],
    [2, "b"],
    [3, "c"],
  ] as const) {
    writer.send(publish("t", payload, { qos: 1, id }));
  }
  expect(writer.takes()).toEqual(["PUBACK #1", "PUBACK #2", "PUBACK #3"]);
  const after = broker.crash();
  const again = after.open();
  again.send(kept("reader"));
  expect(again.takes()).toEqual([
    "CONNACK present=1 code=0",
    'PUBLISH t "a" q1 #1',
    'PUBLISH t "b" q1 #2',
    'PUBLISH t "c" q1 #3',
  ]);
  again.send(puback(1), puback(2), puback(3), disconnect);
  const third = after.crash();
  expect(third.records(Table.Queue)).toBe(0);
  expect(third.records(Table.Message)).toBe(0);
});

test("[MQTT311-4.4.0-1] unacknowledged messages are resent in order with DUP under their identifiers", () => {
  const { broker, reader, writer } = withReader(2);
  for (const [id, payload] of [
    [1, "a"],
    [2, "b"],
    [3, "c"],
  ] as const) {
    writer.send(publish("t", payload, { qos: 1, id }));
  }
  reader.send(puback(2));
  const after = broker.crash();
  const again = after.open();
  again.send(kept("reader"));
  expect(again.takes()).toEqual([
    "CONNACK present=1 code=0",
    'PUBLISH t "a" q1 #1 dup',
    'PUBLISH t "c" q1 #3 dup',
  ]);
  // The identifier of a message that is in flight is not given to another one [MQTT311-2.3.1-4].
  const other = after.connected("writer");
  other.send(publish("t", "d", { qos: 1, id: 1 }));
  expect(again.takes()).toEqual(['PUBLISH t "d" q1 #4']);
});

test.each([
  {
    qos: 1,
    does: "is sent before its packet identifier is stored, and comes again without DUP after a crash",
  },
  { qos: 2, does: "waits until its packet identifier is stored" },
] as const)("a QoS $qos message that leaves the queue $does", ({ qos }) => {
  const broker = new TestBroker({ durable: "when told", limits: { inflightMax: 1 } });
  const writer = broker.connected("writer");
  const reader = broker.open();
  reader.send(kept("reader"), subscribe(1, ["t", 2]));
  broker.commit();
  writer.send(publish("t", "first", { qos: 1, id: 1 }), publish("t", "second", { qos, id: 2 }));
  broker.commit();
  expect(reader.takes().slice(2)).toEqual(['PUBLISH t "first" q1 #1']);
  reader.send(puback(1));
  const sent = qos === 1 ? ['PUBLISH t "second" q1 #2'] : [];
  expect(reader.takes()).toEqual(sent);
  const after = broker.crash();
  const again = after.open();
  again.send(kept("reader"));
  after.commit();
  expect(again.takes().slice(1)).toEqual(['PUBLISH t "first" q1 #1 dup']);
  again.send(puback(1));
  after.commit();
  expect(again.takes()).toEqual([`PUBLISH t "second" q${qos} #2`]);
});

test("[MQTT311-4.6.0-4] PUBRELs are resent in the order of the PUBRECs", () => {
  const { broker, reader, writer } = withReader(2);
  for (const id of [1, 2, 3]) {
    writer.send(publish("t", "x", { qos: 2, id }), pubrel(id));
  }
  expect(reader.takes()).toHaveLength(3);
  reader.send(pubrec(3), pubrec(1));
  const after = broker.crash();
  const again = after.open();
  again.send(kept("reader"));
  expect(again.takes()).toEqual([
    "CONNACK present=1 code=0",
    "PUBREL #3",
    "PUBREL #1",
    'PUBLISH t "x" q2 #2 dup',
  ]);
  again.send(pubcomp(3), pubcomp(1), pubrec(2), pubcomp(2));
  expect(after.records(Table.Queue)).toBe(0);
});

test("[MQTT311-4.3.3-2] a QoS 2 message that the publisher resends after a crash is not published twice", () => {
  const { broker, reader } = withReader(2);
  const publisher = broker.open();
  publisher.send(kept("publisher"), publish("t", "once", { qos: 2, id: 5 }));
  expect(publisher.takes()).toEqual(["CONNACK present=0 code=0", "PUBREC #5"]);
  expect(reader.takes()).toEqual(['PUBLISH t "once" q2 #1']);
  const after = broker.crash();
  const [again, publisherAgain] = [after.open(), after.open()];
  again.send(kept("reader"), pubrec(1), pubcomp(1));
  again.takes();
  publisherAgain.send(kept("publisher"), publish("t", "once", { qos: 2, id: 5, dup: true }));
  publisherAgain.send(pubrel(5));
  expect(publisherAgain.takes()).toEqual(["CONNACK present=1 code=0", "PUBREC #5", "PUBCOMP #5"]);
  expect(again.takes()).toEqual([]);
});

test("retained messages survive a crash and expire when they would have", () => {
  const broker = new TestBroker(durable);
  const client = broker.connected({ level: 5 });
  client.publishes("a", "stays", { retain: true });
  client.publishes("b", "expires", { retain: true, props: { MessageExpiryInterval: 10 } });
  const soon = broker.crash(4000);
  expect(soon.records(Table.Retained)).toBe(2);
  const reader = soon.connected({ level: 5, clientId: "r" });
  reader.subscribes(1, ["+", 0]);
  expect(reader.takes().slice(1).sort()).toEqual([
    'PUBLISH a "stays" q0 retain',
    'PUBLISH b "expires" q0 retain MessageExpiryInterval=6',
  ]);
  const late = soon.crash(7000);
  late.advance(1);
  expect(late.records(Table.Retained)).toBe(1);
});

test("a retained message that expired while the broker was down is gone, at whatever time it starts", () => {
  // The process counts its time from its start: the message expired at 0, at -1, and so on.
  for (const millisBefore of [0, 1, 2, 16, 1000]) {
    const world = new TestBroker({ durable: "at once" });
    const props = { MessageExpiryInterval: 1 };
    world.connected({ level: 5 }).publishes("t", "x", { retain: true, props });
    const after = world.crash(1000 + millisBefore);
    after.advance(0);
    expect(after.count("retainedMessages")).toBe(0);
    expect(after.store.size).toBe(0);
  }
});

/** A CONNECT of a session that is kept for 100 seconds. */
const for100Seconds: ConnectFields = {
  ...{ level: 5, clientId: "c", clean: false },
  props: { SessionExpiryInterval: 100 },
};

describe("the end of a session", () => {
  test("comes when it would have come without the crash", () => {
    const broker = new TestBroker(durable);
    const client = broker.connected(for100Seconds);
    client.cut();
    broker.advance(40_000);
    const after = broker.crash(30_000);
    after.advance(29_000);
    expect(after.records(Table.Session)).toBe(1);
    after.advance(2000);
    expect(after.records(Table.Session)).toBe(0);
  });

  test("comes one expiry interval after the crash for a client that was connected", () => {
    const broker = new TestBroker(durable);
    broker.connected(for100Seconds);
    broker.advance(500_000);
    const after = broker.crash(5000);
    after.advance(99_000);
    // A second crash does not prolong it.
    const later = after.crash();
    later.advance(500);
    expect(later.records(Table.Session)).toBe(1);
    later.advance(1000);
    expect(later.records(Table.Session)).toBe(0);
  });
});

describe("the will of a client", () => {
  const withWill = (props: Properties = {}) =>
    ({ level: 5, will: { topic: "w", payload: "gone", qos: 1, props } }) as const;
  function kept5(broker: TestBroker) {
    const reader = broker.open();
    reader.send(kept("reader"), subscribe(1, ["w", 1]));
    reader.cut();
  }
  const received = (broker: TestBroker): string[] => {
    const reader = broker.open();
    reader.send(kept("reader"));
    return reader.takes().slice(1);
  };

  test("is published after a crash of the broker, which is an end without DISCONNECT", () => {
    const broker = new TestBroker(durable);
    kept5(broker);
    broker.connected(withWill());
    const after = broker.crash();
    expect(received(after)).toEqual(['PUBLISH w "gone" q1 #1']);
    expect(after.records(Table.Will)).toBe(0);
  });

  test("is published after its delay, counted from the crash", () => {
    const broker = new TestBroker(durable);
    kept5(broker);
    broker.connected({ ...withWill({ WillDelayInterval: 10 }), ...for100Seconds });
    const after = broker.crash();
    after.advance(9000);
    expect(received(after)).toEqual([]);
    after.advance(1001);
    expect([...after.clients.values()].flatMap((client) => client.takes())).toEqual([
      'PUBLISH w "gone" q1 #1',
    ]);
  });

  test("is not published after DISCONNECT, and not after a crash behind it", () => {
    const broker = new TestBroker(durable);
    kept5(broker);
    const client = broker.connected(withWill());
    client.send(disconnect);
    expect(broker.records(Table.Will)).toBe(0);
    expect(received(broker.crash())).toEqual([]);
  });

  test("that was delayed when the broker crashed keeps its time", () => {
    const broker = new TestBroker(durable);
    kept5(broker);
    const client = broker.connected({ ...withWill({ WillDelayInterval: 10 }), ...for100Seconds });
    client.cut();
    broker.advance(4000);
    const after = broker.crash(4000);
    after.advance(1999);
    expect(after.records(Table.Will)).toBe(1);
    after.advance(2);
    expect(after.records(Table.Will)).toBe(0);
    expect(received(after)).toEqual(['PUBLISH w "gone" q1 #1']);
  });
});

test("subscriptions keep their options and identifiers", () => {
  const broker = new TestBroker(durable);
  const NO_LOCAL = 4;
  const before = broker.connected(for100Seconds);
  before.subscribes(1, ["a/+", 1 | NO_LOCAL], { SubscriptionIdentifier: 77 });
  const after = broker.crash();
  const client = after.connected(for100Seconds);
  after.connected("other").publishes("a/b", "x", { qos: 1 });
  expect(client.takes()).toEqual(['PUBLISH a/b "x" q1 #1 SubscriptionIdentifier=77']);
  client.publishes("a/b", "own", { qos: 1, id: 9 });
  expect(client.takes()).toEqual(["PUBACK #9"]);
});

test("what inspect shows of sessions is the same after recovery", () => {
  const { broker, reader, writer } = withReader(2);
  for (let id = 1; id <= 30; id++) writer.send(publish("t", `${id}`, { qos: 1, id }));
  for (let id = 31; id <= 40; id++) writer.send(publish("t", `${id}`, { qos: 2, id }), pubrel(id));
  reader.send(puback(3), puback(1), publish("t", "own", { qos: 2, id: 8 }));
  reader.cut();
  writer.cut();
  const sessions = (of: TestBroker) => inspect(of.broker).sessions;
  expect(sessions(broker.crash())).toEqual(sessions(broker));
});

describe("damage", () => {
  test("is dropped, counted and removed from the store", () => {
    const { broker, reader, writer } = withReader();
    reader.cut();
    writer.send(publish("t", "a", { qos: 1 }), publish("t", "b", { qos: 1, id: 2 }));
    writer.send(publish("kept", "r", { retain: true }));
    const [message] = [...broker.store.keys()].filter((key) => key.startsWith(`${Table.Message}/`));
    broker.store.delete(message!);
    broker.store.set(`${Table.Session}/6e6f6e73656e7365`, Uint8Array.of(1, 2, 3));
    broker.store.set(`${Table.Queue}/00`, Uint8Array.of(1));
    const after = broker.crash();
    expect(after.recovered?.dropped).toEqual({
      [Table.Session]: 1,
      [Table.Subscription]: 0,
      [Table.Message]: 0,
      [Table.Queue]: 2,
      [Table.Retained]: 0,
      [Table.Will]: 0,
    });
    const again = after.open();
    again.send(kept("reader"));
    expect(again.takes()).toEqual(["CONNACK present=1 code=0", 'PUBLISH t "b" q1 #1']);
    again.send(puback(1));
    // The store is whole again.
    expect(after.crash().recovered?.dropped).toEqual(
      Object.fromEntries(Object.values(Table).map((table) => [table, 0])),
    );
  });

  test("in the topic, the properties or the identifiers of a message never reaches a client", () => {
    const broker = new TestBroker(durable);
    const reader = broker.connected(for100Seconds);
    reader.subscribes(1, ["+", 1], { SubscriptionIdentifier: 77 });
    reader.cut();
    const writer = broker.connected({ level: 5, clientId: "writer" });
    const ids = [1, 2, 3, 4];
    for (const id of ids) {
      writer.publishes(`${id}`, "x", { qos: 1, id, props: { ContentType: "text" } });
    }
    const of = (table: Table) =>
      [...broker.store].filter(([key]) => key.startsWith(`${table}/`)).sort();
    const [first, second] = of(Table.Message).map(([, value]) => value);
    first![first!.indexOf(0x31)] = 0x2b; // "+" instead of "1"
    second![second!.indexOf(0x03, 14)] = 0x7f; // no property
    const identifiers = of(Table.Queue)[2]![1];
    identifiers[identifiers.length - 1] = 0xff; // an integer without an end
    const after = broker.crash();
    const again = after.connected(for100Seconds);
    expect(again.takes()).toEqual([
      'PUBLISH 4 "x" q1 #1 SubscriptionIdentifier=77 ContentType="text"',
    ]);
  });

  test("a record of a newer program refuses the store as a whole", () => {
    const { broker } = withReader();
    broker.store.set(`${Table.Session}/61`, Uint8Array.of(2, 0, 0));
    expect(() => broker.crash()).toThrow(/store.*format 2.*format 1 or older/);
  });

  test("that leaves no numbers for new sessions, messages and writes is dropped and counted", () => {
    const { broker, reader, writer } = withReader();
    reader.cut();
    writer.send(publish("t", "a", { qos: 1 }), publish("t", "b", { qos: 1, id: 2 }));
    const of = (table: Table) =>
      [...broker.store].filter(([key]) => key.startsWith(`${table}/`)).sort();
    const other = Uint8Array.from(of(Table.Session)[0]![1]);
    viewOf(other).setUint32(1, 0xffff_ffff);
    broker.store.set(`${Table.Session}/6f74686572`, other);
    viewOf(of(Table.Queue)[0]![1]).setFloat64(1, Number.MAX_SAFE_INTEGER);
    const key = new Uint8Array(8);
    viewOf(key).setFloat64(0, Number.MAX_SAFE_INTEGER);
    const message = of(Table.Message)[0]![1];
    broker.store.set(`${Table.Message}/${Buffer.from(key).toString("hex")}`, message);
    let after = broker.crash();
    const { dropped } = after.recovered!;
    const tables = [Table.Session, Table.Message, Table.Queue] as const;
    expect(tables.map((table) => dropped[table])).toEqual([1, 1, 1]);
    const later = after.open();
    later.send(kept("later"), subscribe(1, ["t", 1]));
    later.cut();
    after.connected("writer").send(publish("t", "c", { qos: 1, id: 3 }));
    after = after.crash();
    const again = after.open();
    again.send(kept("later"));
    expect(again.takes()).toEqual(["CONNACK present=1 code=0", 'PUBLISH t "c" q1 #1']);
  });

  test("a queue at the largest positions begins anew, in the store too, and goes on in order", () => {
    const { broker, reader, writer } = withReader();
    reader.cut();
    for (const id of [1, 2]) writer.send(publish("t", `${id}`, { qos: 1, id }));
    const entries = [...broker.store].filter(([key]) => key.startsWith(`${Table.Queue}/`)).sort();
    for (const [at, [key, value]] of entries.entries()) {
      broker.store.delete(key);
      broker.store.set(`${key.slice(0, -8)}${(0xffff_fffe + at).toString(16)}`, value);
    }
    let after = broker.crash();
    after.connected("writer").send(publish("t", "3", { qos: 1, id: 3 }));
    after = after.crash();
    after.connected("writer").send(publish("t", "4", { qos: 1, id: 4 }));
    after = after.crash();
    expect(after.recovered!.dropped[Table.Queue]).toBe(0);
    const again = after.open();
    again.send(kept("reader"));
    const payloads = again.takes().map((line) => line.split(" ")[2]);
    expect(payloads.slice(1)).toEqual(['"1"', '"2"', '"3"', '"4"']);
  });

  test("a gap in a queue is closed, and the queue goes on behind it", () => {
    const { broker, reader, writer } = withReader();
    reader.cut();
    for (let id = 1; id <= 4; id++) writer.send(publish("t", `${id}`, { qos: 1, id }));
    const entries = [...broker.store.keys()].filter((key) => key.startsWith(`${Table.Queue}/`));
    broker.store.delete(entries.sort()[1]!);
    let after = broker.crash();
    after.connected("writer").send(publish("t", "5", { qos: 1, id: 5 }));
    after = after.crash();
    const again = after.open();
    again.send(kept("reader"));
    expect(
      again
        .takes()
        .slice(1)
        .map((line) => line.split(" ")[2]),
    ).toEqual(['"1"', '"3"', '"4"', '"5"']);
  });
});

describe("a batch", () => {
  test("contains no message that was acknowledged by all its receivers before the batch was polled", () => {
    const broker = new TestBroker({ durable: "when told" });
    const reader = broker.open().send(kept("reader"), subscribe(1, ["t", 1]));
    broker.commit();
    reader.takes();
    const writer = broker.connected("writer");
    writer.send(publish("t", "x", { qos: 1, id: 1 }));
    expect(reader.takes()).toEqual(['PUBLISH t "x" q1 #1']);
    reader.send(puback(1));
    const batch = new WriteBatch();
    expect(broker.broker.pollJournal(batch)).toBe(true);
    expect(batch.count).toBe(0);
    broker.broker.handleCommit(batch.lastSeq, broker.now);
    broker.drain();
    expect(writer.takes()).toEqual(["PUBACK #1"]);
  });

  test("contains the receipt of a QoS 2 message whose PUBREC waits for it", () => {
    const broker = new TestBroker({ durable: "when told" });
    const sender = broker.open();
    sender.send(kept("sender"));
    broker.commit();
    sender.takes();
    sender.send(publish("nobody", "x", { qos: 2, id: 1 }));
    const batch = new WriteBatch();
    expect(broker.broker.pollJournal(batch)).toBe(true);
    expect(batch.count).toBe(1);
    broker.broker.handleCommit(batch.lastSeq, broker.now);
    broker.drain();
    expect(sender.takes()).toEqual(["PUBREC #1"]);
    // Its removal is not cancelled: the store has the receipt.
    sender.send(pubrel(1));
    expect(broker.broker.pollJournal(batch)).toBe(true);
    const records = batch.records();
    expect([records.next(), records.table, records.value]).toEqual([true, Table.Queue, null]);
  });

  test("is one run of bytes, which is read only if it is whole", () => {
    const broker = new TestBroker({ durable: "when told" });
    broker.open().send(kept("a"), kept("b"));
    broker.open().send(kept("c"), subscribe(1, ["x/+", 1]));
    const batch = new WriteBatch();
    broker.broker.pollJournal(batch);
    const bytes = batch.encoded();
    const list = (of: ReturnType<typeof readBatch>) => {
      const all: unknown[] = [];
      while (of!.next()) all.push([of!.table, [...of!.key], of!.value && [...of!.value]]);
      return all;
    };
    const expected = list(batch.records());
    expect(expected).toHaveLength(batch.count);
    expect(list(readBatch(bytes))).toEqual(expected);
    for (let end = 0; end < bytes.length; end++) expect(readBatch(bytes.slice(0, end))).toBe(null);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 0x10;
      expect(readBatch(damaged)).toBe(null);
    }
  });
});
