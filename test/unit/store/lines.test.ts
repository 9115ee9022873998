// The lines of an export: what a broker has recorded, readable, and the same records again after an import.
import { describe, expect, test } from "vitest";
import { lineOf } from "../../../adapters/cli/store/export-lines.ts";
import { ImportLines } from "../../../adapters/cli/store/import-lines.ts";
import { type RecordSource, SoundRecords } from "../../../adapters/cli/store/sound-records.ts";
import { type Millis, Recovery, Table } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { puback, pubrec } from "../../support/packets.ts";

interface Stored {
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

function storedBy(broker: TestBroker): Stored[] {
  const stored = Array.from(broker.store, ([name, value]) => {
    const [table, key] = name.split("/");
    return { table: Number(table) as Table, key: Buffer.from(key!, "hex"), value };
  });
  return stored.sort((a, b) => a.table - b.table || Buffer.compare(a.key, b.key));
}

function sourceOf(stored: readonly Stored[]): RecordSource {
  const recordsOf = (table: Table) => stored.filter((record) => record.table === table);
  return { records: () => stored, recordsOf, faults: [], faultCount: 0 };
}

/** The lines of an export of these records. */
function linesOf(stored: readonly Stored[]): object[] {
  const records = new SoundRecords(sourceOf(stored));
  records.check();
  return Array.from(records.records(), lineOf);
}

function recordsOf(lines: readonly unknown[]): Stored[] {
  const parser = new ImportLines();
  parser.record({ type: "store", format: 1 });
  const parsed = lines.map((line) => parser.record(JSON.parse(JSON.stringify(line)))!);
  return parsed.sort((a, b) => a.table - b.table || Buffer.compare(a.key, b.key));
}

const hex = ({ table, key, value }: Stored): string =>
  [`${table}`, Buffer.from(key).toString("hex"), Buffer.from(value).toString("hex")].join(" ");

const pairs: [string, string][] = [
  ["k", "1"],
  ["k", "2"],
];

/** A broker with every kind of record. */
function withAll(): TestBroker {
  const broker = new TestBroker({ durable: "at once" });
  const will = {
    ...{ topic: "gone", payload: "bye", qos: 1, retain: true },
    props: { WillDelayInterval: 5, MessageExpiryInterval: 60 },
  } as const;
  const reader = broker.connected({
    ...{ level: 5, clientId: "reader", clean: false, will },
    props: { SessionExpiryInterval: 3600, ReceiveMaximum: 3 },
  });
  reader.subscribes(1, ["a/#", 2], { SubscriptionIdentifier: 7 });
  reader.subscribes(2, ["$share/group/s", 1]);
  reader.subscribes(3, ["b", 1 | 4 | 8]);
  const old = broker.connected({ clientId: "old", clean: false });
  old.subscribes(1, ["a/1", 1]);
  old.cut();
  const publisher = broker.connected({
    ...{ level: 5, clientId: "publisher", clean: false, props: { SessionExpiryInterval: 60 } },
  });
  const props = {
    ...{ ContentType: "text/plain", CorrelationData: Uint8Array.of(0, 255) },
    ...{
      UserProperty: pairs,
      MessageExpiryInterval: 100,
    },
  } as const;
  publisher.publishes("a/1", "one", { qos: 1, id: 1, props: { ...props } });
  publisher.publishes("a/2", Uint8Array.of(0xff, 0x00), { qos: 2, id: 2 });
  publisher.publishes("a/1", Uint8Array.of(0xff, 0x00), { qos: 1, id: 9 });
  publisher.publishes("s", "shared", { qos: 1, id: 3 });
  for (let id = 4; id < 8; id++) publisher.publishes("a/3", `${id}`, { qos: 1, id });
  publisher.publishes("r", "kept", { qos: 1, id: 8, retain: true });
  publisher.publishes("x", "expires", { retain: true, props: { MessageExpiryInterval: 50 } });
  reader.send(puback(1), pubrec(2));
  publisher.cut();
  broker.drain();
  return broker;
}

test("a broker's records are written as lines and read back byte by byte", () => {
  const stored = storedBy(withAll());
  const tables = new Set(stored.map(({ table }) => table));
  expect(tables.size).toBe(Object.keys(Table).length);
  const lines = linesOf(stored);
  expect(lines).toHaveLength(stored.length);
  expect(recordsOf(lines).map(hex)).toEqual(stored.map(hex));
  expect(linesOf(recordsOf(lines))).toEqual(lines);
});

test("a person can read the lines", () => {
  const lines = linesOf(storedBy(withAll()));
  const of = (type: string) => lines.filter((line) => (line as { type: string }).type === type);
  expect(of("session")).toEqual([
    {
      type: "session",
      clientId: "old",
      number: 2,
      expirySeconds: 2_592_000,
      ends: "2023-12-14T22:13:20.000Z",
    },
    {
      type: "session",
      clientId: "publisher",
      number: 3,
      expirySeconds: 60,
      ends: "2023-11-14T22:14:20.000Z",
    },
    { type: "session", clientId: "reader", number: 1, expirySeconds: 3600, ends: null },
  ]);
  expect(of("subscription")).toContainEqual({
    ...{ type: "subscription", clientId: "reader", filter: "b", qos: 1 },
    ...{ noLocal: true, retainAsPublished: true },
  });
  expect(of("message")).toContainEqual({
    ...{
      type: "message",
      number: expect.any(Number) as number,
      topic: "a/1",
      qos: 1,
      retain: false,
    },
    ...{ expires: "2023-11-14T22:15:00.000Z", payload: "one" },
    properties: {
      ...{ ContentType: "text/plain", CorrelationData: "AP8=" },
      UserProperty: pairs,
    },
  });
  expect(of("message")).toContainEqual(
    expect.objectContaining({ topic: "a/1", payloadBase64: "/wA=" }),
  );
  expect(of("receipt")).toEqual([expect.objectContaining({ clientId: "publisher", packetId: 2 })]);
  expect(of("will")).toEqual([
    expect.objectContaining({ clientId: "reader", delaySeconds: 5, expirySeconds: 60, due: null }),
  ]);
});

test("what is damaged is left out with everything that refers to it, as Recovery does", () => {
  const broker = withAll();
  const stored = storedBy(broker);
  for (const [at, { table }] of stored.entries()) {
    // Each record loses its last byte once.
    const damaged = stored.map((record, i) =>
      i === at ? { ...record, value: record.value.subarray(0, -1) } : record,
    );
    const name = (record: Stored) => `${record.table}/${Buffer.from(record.key).toString("hex")}`;
    const after = new TestBroker({ durable: "at once" });
    after.store = new Map(damaged.map((record) => [name(record), new Uint8Array(record.value)]));
    const records = new SoundRecords(sourceOf(damaged));
    records.check();
    const lines = Array.from(records.records(), lineOf);
    // Text that is cut is text, and properties are not all at the end.
    if (lines.length === stored.length) {
      expect([Table.Message, Table.Queue]).toContain(table);
      continue;
    }
    expect(records.damagedCount + records.unusedCount).toBe(stored.length - lines.length);
    expect(records.soundCount).toBe(lines.length);
    expect(recordsOf(lines)).toHaveLength(lines.length);
    const { recovered } = after.crash();
    const dropped = Object.values(recovered!.dropped).reduce((sum, count) => sum + count, 0);
    expect([records.damage, records.damagedCount]).toEqual([records.damage, dropped]);
  }
});

test("a record without its session or message, and a second session of one number, are dropped as Recovery does", () => {
  const stored = storedBy(withAll());
  const without = (lost: Table) => stored.filter(({ table }) => table !== lost);
  const firstOf = (wanted: Table) => stored.find(({ table }) => table === wanted)!;
  const subscription = firstOf(Table.Subscription);
  const badQos = {
    ...subscription,
    value: Uint8Array.from([...subscription.value.slice(0, 4), 3]),
  };
  const badFilter = {
    ...subscription,
    key: Buffer.concat([subscription.key, Buffer.from("/#/a")]),
  };
  const cases: readonly (readonly [readonly Stored[], RegExp])[] = [
    [without(Table.Session), /: its session is missing$/],
    [without(Table.Message), /: its message is missing$/],
    [
      [...stored, { ...firstOf(Table.Session), key: Buffer.from("second") }],
      /^session of client "second": another session has its number$/,
    ],
    [stored.map((record) => (record === subscription ? badQos : record)), /: it cannot be read$/],
    [[...stored, badFilter], /: it cannot be read$/],
  ];
  for (const [damaged, description] of cases) {
    const records = new SoundRecords(sourceOf(damaged));
    records.check();
    expect(records.damagedCount).toBeGreaterThan(0);
    for (const text of records.damage) expect(text).toMatch(description);
    const recovery = new Recovery(new TestBroker({ durable: "at once" }).broker);
    for (const { table, key, value } of damaged) recovery.put(table, key, value);
    recovery.finish(0 as Millis);
    const { dropped, recovered } = recovery.counts;
    const sum = (counts: typeof dropped): number => Object.values(counts).reduce((a, b) => a + b);
    expect([sum(dropped), sum(recovered)]).toEqual([records.damagedCount, records.soundCount]);
  }
});

test("a message that no record refers to is no damage, and is not exported", () => {
  const lines = linesOf(storedBy(withAll()));
  const unused = { type: "message", number: 1000, topic: "t", qos: 1, payload: "x" };
  const records = new SoundRecords(sourceOf(recordsOf([...lines, unused])));
  records.check();
  expect([records.damagedCount, records.unusedCount]).toEqual([0, 1]);
  expect(Array.from(records.records(), lineOf)).toEqual(lines);
});

describe("an import refuses", () => {
  const session = { type: "session", clientId: "c", expirySeconds: 60, ends: null };
  const message = { type: "message", number: 5, topic: "t", qos: 1, payload: "x" };
  const queued = { type: "queued", clientId: "c", message: 5, qos: 1 };
  const refused: Record<string, readonly [lines: readonly unknown[], message: RegExp]> = {
    "what is no object": [[7], /^line: 7 is not allowed; allowed is an object$/],
    "an unknown type": [[{ type: "sesion" }], /^type: "sesion" .* one of session, subscription/],
    "an unknown field": [[{ ...session, endz: null }], /^endz: unknown name; did you mean ends\?$/],
    "a client identifier that is no text": [[{ ...session, clientId: 1 }], /^clientId: 1 /],
    "a client twice": [[session, session], /^clientId: "c" .* without a session line before/],
    "a number of a session twice": [
      [
        { ...session, number: 1 },
        { ...session, clientId: "d", number: 1 },
      ],
      /^number: 1 /,
    ],
    "a negative interval": [[{ ...session, expirySeconds: -1 }], /^expirySeconds: -1 /],
    "a day that does not exist": [
      [{ ...session, ends: "2026-13-01T00:00:00Z" }],
      /^ends: "2026-13/,
    ],
    "a time without a zone": [[{ ...session, ends: "2026-12-01T00:00:00" }], /^ends: /],
    "a filter with a misplaced wildcard": [
      [session, { type: "subscription", clientId: "c", filter: "a#", qos: 1 }],
      /^filter: "a#" /,
    ],
    "an invalid shared filter": [
      [session, { type: "subscription", clientId: "c", filter: "$share/g", qos: 1 }],
      /^filter: /,
    ],
    "QoS 3": [
      [session, { type: "subscription", clientId: "c", filter: "a", qos: 3 }],
      /^qos: 3 .* 0, 1 or 2/,
    ],
    "a subscription of an unknown client": [
      [{ type: "subscription", clientId: "c", filter: "a", qos: 1 }],
      /^clientId: "c" .* the client of a session line before/,
    ],
    "a topic with a wildcard": [[{ ...message, topic: "a/+" }], /^topic: "a\/\+" /],
    "a message without a payload": [[{ ...message, payload: undefined }], /^payload: /],
    "a message with two payloads": [[{ ...message, payloadBase64: "" }], /^payload: /],
    "what is not base64": [
      [{ ...message, payload: undefined, payloadBase64: "?" }],
      /^payloadBase64: "\?" is not allowed; allowed is base64$/,
    ],
    "an unknown property": [
      [{ ...message, properties: { ContentTyp: "a" } }],
      /^properties.ContentTyp: unknown name; did you mean properties.ContentType\?$/,
    ],
    "a property of another packet": [
      [{ ...message, properties: { ReceiveMaximum: 1 } }],
      /^properties: "ReceiveMaximum" /,
    ],
    "a property out of range": [
      [{ ...message, properties: { PayloadFormatIndicator: 2 } }],
      /^properties.PayloadFormatIndicator: 2 .* from 0 to 1/,
    ],
    "the interval of expiry instead of its time": [
      [{ ...message, properties: { MessageExpiryInterval: 2 } }],
      /^properties.MessageExpiryInterval: 2 is not allowed; allowed is the field expires$/,
    ],
    "a message number below one before": [[message, { ...message, number: 4 }], /^number: 4 /],
    "a queued message that is missing": [[session, queued], /^message: 5 .* a message line before/],
    "a queued message at QoS 0": [[session, message, { ...queued, qos: 0 }], /^qos: 0 .* 1 or 2/],
    "a position twice": [
      [session, message, { ...queued, position: 70_000 }, { ...queued, position: 70_000 }],
      /^position: 70000 .* behind/,
    ],
    "a packet identifier twice": [
      [
        ...[session, message, { ...queued, type: "sent", packetId: 9 }],
        { type: "released", clientId: "c", packetId: 9 },
      ],
      /^packetId: 9 .* not in use$/,
    ],
    "numbers that leave none for a broker: of a session": [
      [{ ...session, number: 2 ** 31 + 1 }],
      /^number: 2147483649 .* from 1 to 2147483648$/,
    ],
    "of a message": [[{ ...message, number: 2 ** 52 + 1 }], /^number: .* to 4503599627370496$/],
    "of an order": [
      [session, message, { ...queued, order: 2 ** 53 - 1 }],
      /^order: 9007199254740991 .* to 4503599627370496$/,
    ],
    "of a position above all": [
      [session, message, { ...queued, position: 0xffff_ffff }],
      /^position: 4294967295 .* from 65536 to 3221225471$/,
    ],
    "of a position below all": [[session, message, { ...queued, position: 0 }], /^position: 0 /],
    "a retained line with another topic than its message": [
      [message, { type: "retained", topic: "u", message: 5 }],
      /^topic: "u" is not allowed; allowed is the topic of message 5$/,
    ],
    "a retained message without a payload": [
      [
        { ...message, payload: "" },
        { type: "retained", topic: "t", message: 5 },
      ],
      /^message: 5 is not allowed; allowed is the number of a message with a payload$/,
    ],
    "a retained message of the broker's own": [
      [
        { ...message, topic: "$SYS/broker/uptime" },
        { type: "retained", topic: "$SYS/broker/uptime", message: 5 },
      ],
      /^topic: "\$SYS\/broker\/uptime" .* that is not the broker's own$/,
    ],
    "No Local for a shared subscription": [
      [
        session,
        { type: "subscription", clientId: "c", filter: "$share/g/t", qos: 1, noLocal: true },
      ],
      /^noLocal: true is not allowed; allowed is false for a shared subscription$/,
    ],
    "an empty client identifier": [
      [{ ...session, clientId: "" }],
      /^clientId: "" is not allowed; allowed is a string that is not empty$/,
    ],
    "an entry with a QoS above that of its message": [
      [session, message, { ...queued, qos: 2 }],
      /^qos: 2 is not allowed; allowed is at most 1, the QoS of message 5$/,
    ],
    "packet identifier 0": [
      [session, { type: "receipt", clientId: "c", packetId: 0 }],
      /^packetId: 0 /,
    ],
  };
  test.each(Object.entries(refused))("%s", (_, [lines, message]) => {
    const parser = new ImportLines();
    parser.record({ type: "store", format: 1 });
    const last = lines.length - 1;
    for (const line of lines.slice(0, last)) parser.record(line);
    expect(() => parser.record(lines[last])).toThrow(message);
  });

  test.each([
    [{ type: "session", clientId: "c" }, /^clientId: unknown name/],
    [{ type: "session" }, /^type: "session" is not allowed; allowed is "store" at first$/],
    [{ type: "store", format: 2 }, /^format: 2 is not allowed; allowed is 1$/],
  ])("the first line %j", (line, message) => {
    expect(() => new ImportLines().record(line)).toThrow(message);
  });
});

test("lines may leave out the numbers that nobody wants to choose", () => {
  const session = { type: "session", expirySeconds: 60, ends: null };
  const written = recordsOf([
    { ...session, clientId: "a" },
    { ...session, clientId: "b" },
    { type: "message", number: 1, topic: "t", qos: 2, payload: "x" },
    { type: "queued", clientId: "b", message: 1, qos: 1 },
    { type: "queued", clientId: "b", message: 1, qos: 2 },
  ]);
  expect(linesOf(written).map((line) => JSON.parse(JSON.stringify(line)) as object)).toEqual([
    { ...session, clientId: "a", number: 1 },
    { ...session, clientId: "b", number: 2 },
    { type: "message", number: 1, topic: "t", qos: 2, retain: false, payload: "x" },
    {
      type: "queued",
      clientId: "b",
      position: 2 ** 31,
      order: 1,
      message: 1,
      qos: 1,
      retain: false,
    },
    {
      type: "queued",
      clientId: "b",
      position: 2 ** 31 + 1,
      order: 2,
      message: 1,
      qos: 2,
      retain: false,
    },
  ]);
});
