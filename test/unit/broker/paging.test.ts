// Queues larger than memory: the bytes of queued messages leave memory once they are stored, and come back in time.
import { describe, expect, test } from "vitest";
import { Counter, inspect, Table } from "../../../core/mod.ts";
import { TestBroker, type TestBrokerOptions, type TestClient } from "../../support/broker.ts";
import {
  type ConnectFields,
  disconnect,
  idIn,
  payloadIn,
  puback,
  pubcomp,
  pubrec,
  pubrel,
} from "../../support/packets.ts";
import { Recording } from "../../support/recording.ts";

/** No queued message stays in memory. */
const limits = { queuedBytesInMemoryMax: 0 };
const kept = (clientId: string): ConnectFields => ({ clientId, clean: false });
const kept5 = (clientId: string): ConnectFields => ({
  ...{ level: 5, clientId, clean: false },
  props: { SessionExpiryInterval: 1000 },
});

/** A broker with an absent session `s` that subscribes to `t/#`, and a publisher. */
function withAbsent(options: TestBrokerOptions = {}, fields = kept("s"), qos = 1) {
  const world = new TestBroker({
    durable: "at once",
    ...options,
    limits: { ...limits, ...options.limits },
  });
  const client = world.open().connects(fields);
  world.commit();
  client.subscribes(1, ["t/#", qos]);
  client.cut();
  world.commit();
  return { world, publisher: world.connected("p") };
}

/** Publishes messages of about `size` bytes: a long topic, because a test sees short payloads only. */
function publishMany(publisher: TestClient, count: number, size = 100, qos = 1): string[] {
  const payloads = Array.from({ length: count }, (_, n) => `${n}`);
  const topic = `t/${"x".repeat(Math.max(1, Math.min(size, 4000) - 10))}`;
  for (const [n, payload] of payloads.entries()) {
    const id = (n % 60_000) + 1;
    publisher.publishes(topic, payload, { qos, id });
    if (qos === 2) publisher.send(pubrel(id));
  }
  publisher.takes();
  return payloads;
}

/** Takes and acknowledges messages until none comes. */
function takesAll(client: TestClient): string[] {
  const payloads: string[] = [];
  for (let lines = client.takes(); lines.length > 0; lines = client.takes()) {
    for (const line of lines) {
      if (!line.startsWith("PUBLISH")) continue;
      payloads.push(payloadIn(line));
      const id = idIn(line);
      if (line.includes(" q2")) client.send(pubrec(id), pubcomp(id));
      else client.send(puback(id));
    }
  }
  return payloads;
}

describe("queued messages of a client that is not connected", () => {
  test("leave memory, and are delivered whole and in order when it connects", () => {
    const { world, publisher } = withAbsent();
    const payloads = publishMany(publisher, 600);
    expect(world.count("messagesPaged")).toBe(600);
    expect(world.count("queued")).toBe(600);
    // Integers only: a whole message would take 160 bytes.
    expect(world.count("messageBytes")).toBeLessThan(600 * 28 + 2 * 65_536);
    const client = world.connected(kept("s"));
    expect(takesAll(client)).toEqual(payloads);
    expect(world.count("messagesLoaded")).toBe(600);
    expect(world.count("messages") + world.count("messagesPaged")).toBe(0);
    expect(world.records(Table.Message) + world.records(Table.Queue)).toBe(0);
    expect(world.count("storeBytes")).toBe(0);
  });

  test("stay in memory within the budget", () => {
    const { world, publisher } = withAbsent({ limits: { queuedBytesInMemoryMax: 50_000 } });
    const payloads = publishMany(publisher, 1000);
    const paged = world.count("messagesPaged");
    expect(paged).toBeGreaterThan(650);
    expect(paged).toBeLessThan(800);
    // The oldest are in memory: they can be sent at once.
    world.holdsLoads = true;
    const client = world.connected(kept("s"));
    expect(client.takes().map(payloadIn)).toEqual(payloads.slice(0, 20));
    world.holdsLoads = false;
    for (let id = 1; id <= 20; id++) client.send(puback(id));
    expect(takesAll(client)).toEqual(payloads.slice(20));
    // Nothing was loaded twice.
    expect(world.count("messagesLoaded")).toBe(paged);
  });

  test("stay in memory until their record is durable", () => {
    const { world, publisher } = withAbsent({ durable: "when told" });
    for (let n = 0; n < 100; n++) publisher.publishes("t", "x", { qos: 1, id: n + 1 });
    expect(world.count("messagesPaged")).toBe(0);
    world.commit();
    expect(world.count("messagesPaged")).toBe(100);
    publisher.publishes("t", "y", { qos: 1, id: 101 });
    expect(world.count("messagesPaged")).toBe(100);
  });

  test("that expire are dropped without being loaded", () => {
    const { world } = withAbsent({}, kept5("s"));
    const publisher = world.connected({ level: 5, clientId: "p5" });
    const expiring = { MessageExpiryInterval: 10 };
    for (let n = 0; n < 300; n++) {
      const props = n % 3 === 2 ? {} : expiring;
      publisher.publishes("t", `${n}`, { qos: 1, id: n + 1, props });
    }
    world.advance(11_000);
    const client = world.connected(kept5("s"));
    const left = Array.from({ length: 100 }, (_, n) => `${n * 3 + 2}`);
    expect(takesAll(client)).toEqual(left);
    expect(world.count("messagesLoaded")).toBe(100);
    expect(world.count("droppedExpired")).toBe(200);
    expect(world.records(Table.Message)).toBe(0);
  });

  test("that are retained too stay in memory, and are delivered without a load", () => {
    const { world, publisher } = withAbsent();
    for (let n = 0; n < 10; n++)
      publisher.publishes(`t/${n}`, `${n}`, { qos: 1, id: n + 1, retain: true });
    world.holdsLoads = true;
    const client = world.connected(kept("s"));
    expect(client.takes().map(payloadIn)).toEqual([
      "0",
      "1",
      "2",
      "3",
      "4",
      "5",
      "6",
      "7",
      "8",
      "9",
    ]);
    expect(world.count("messagesLoaded")).toBe(0);
    // They leave memory with the next retained message of their topic.
    client.cut();
    publisher.publishes("t/3", "new", { qos: 1, id: 1, retain: true });
    expect(world.count("messagesPaged")).toBe(11);
    expect(world.count("messages")).toBe(10);
  });

  test("that were sent and not acknowledged leave memory too, and are resent first, in order, with DUP", () => {
    const { world, publisher } = withAbsent({ limits: { inflightMax: 5 } }, kept("s"), 2);
    const before = world.connected(kept("s"));
    publishMany(publisher, 4, 10, 1);
    publishMany(publisher, 4, 10, 2);
    expect(before.takes()).toHaveLength(5);
    before.send(pubrec(5));
    before.cut();
    publisher.publishes("t", "last", { qos: 1, id: 9 });
    expect(world.count("messages")).toBe(0);
    world.holdsLoads = true;
    const after = world.connected(kept("s"));
    expect(after.takes()).toEqual(["PUBREL #5"]);
    world.load();
    expect(after.takes().map((line) => line.replace(/x+/, "x"))).toEqual([
      'PUBLISH t/x "0" q1 #1 dup',
      'PUBLISH t/x "1" q1 #2 dup',
      'PUBLISH t/x "2" q1 #3 dup',
      'PUBLISH t/x "3" q1 #4 dup',
    ]);
    world.holdsLoads = false;
    after.send(pubcomp(5), puback(1), puback(2), puback(3), puback(4));
    while (world.loads.length > 0) world.load();
    expect(takesAll(after)).toEqual(["1", "2", "3", "last"]);
    expect(world.records(Table.Message) + world.records(Table.Queue)).toBe(0);
  });
});

test("messages for a slow client leave memory from the end of its queue", () => {
  const { world, publisher } = withAbsent({ limits: { queuedBytesInMemoryMax: 20_000 } });
  const slow = world.connected(kept("s"));
  const payloads = publishMany(publisher, 500);
  expect(world.count("messagesPaged")).toBeGreaterThan(350);
  expect(takesAll(slow)).toEqual(payloads);
  expect(world.count("messages")).toBe(0);
});

test("a client that waits for a load delays no other client", () => {
  const { world, publisher } = withAbsent();
  world.connected(kept("other")).subscribes(1, ["o", 1]).cut();
  publishMany(publisher, 100);
  publisher.publishes("o", "for the other", { qos: 1, id: 1 });
  world.holdsLoads = true;
  const [waiting, other] = [world.connected(kept("s")), world.connected(kept("other"))];
  const [first] = world.loads;
  // Only the load of the other client is answered.
  while (world.loads.length > 1) world.load(1);
  expect(world.loads).toEqual([first]);
  expect(waiting.takes()).toEqual([]);
  const live = world.connected("live").subscribes(1, ["t/x", 0]);
  live.takes();
  publisher.publishes("t/x", "now", { qos: 1, id: 1 });
  expect(live.takes()).toEqual(['PUBLISH t/x "now" q0']);
  expect(other.takes()).toEqual(['PUBLISH o "for the other" q1 #1']);
});

test("loads that are answered in another order do not change the order of the messages", () => {
  const { world, publisher } = withAbsent({ limits: { queuedBytesInMemoryMax: 1_000_000 } });
  const payloads = publishMany(publisher, 900, 2000);
  expect(world.count("messagesPaged")).toBeGreaterThan(400);
  world.holdsLoads = true;
  const client = world.connected(kept("s"));
  const got: string[] = [];
  for (;;) {
    got.push(...takesAll(client));
    if (world.loads.length === 0) break;
    world.load(world.loads.length - 1);
  }
  expect(got).toEqual(payloads);
});

test("a page is bounded by the number of messages and by their bytes, and so are the pages on their way", () => {
  const { world, publisher } = withAbsent({
    limits: { queuedBytesInMemoryMax: 4_000_000, inflightMax: 65_535 },
  });
  for (let n = 0; n < 60; n++) {
    world
      .connected(kept(`c${n}`))
      .subscribes(1, [`q/${n}`, 1])
      .cut();
    for (let i = 0; i < 40; i++) {
      publisher.publishes(`q/${n}`, new Uint8Array(20_000), { qos: 1, id: i + 1 });
    }
  }
  publisher.takes();
  world.holdsLoads = true;
  for (let n = 0; n < 60; n++) world.connected(kept(`c${n}`));
  expect(world.loads.length).toBeLessThanOrEqual(32);
  expect(world.loads.length).toBeGreaterThan(2);
  for (const { length } of world.loads) expect(length).toBeLessThanOrEqual(13);
});

describe("a message that the store does not have", () => {
  test.each(["missing", "damaged"])("is dropped, counted and reported if it is %s", (fault) => {
    const { world, publisher } = withAbsent();
    publishMany(publisher, 50, 10);
    const keys = [...world.store.keys()]
      .filter((key) => key.startsWith(`${Table.Message}/`))
      .sort();
    // Removed behind the broker's back, while the record itself is still removed once.
    const original = world.stored.bind(world);
    const lost: readonly string[] = [keys[0]!, keys[7]!];
    world.stored = (number) => {
      const value = original(number);
      const isLost = lost.some((key) => world.store.get(key) === value);
      return isLost ? (fault === "missing" ? null : Uint8Array.of(1, 9)) : value;
    };
    const client = world.connected(kept("s"));
    world.events();
    const numbers = takesAll(client).map((payload) => Number.parseInt(payload, 10));
    expect(numbers).toEqual(
      Array.from({ length: 50 }, (_, n) => n).filter((n) => n !== 0 && n !== 7),
    );
    expect(world.count("droppedLost")).toBe(2);
    expect(world.records(Table.Message) + world.records(Table.Queue)).toBe(0);
  });

  test("is reported with its client and number", () => {
    const { world, publisher } = withAbsent();
    publisher.publishes("t", "x", { qos: 1, id: 1 });
    world.holdsLoads = true;
    const client = world.connected(kept("s"));
    world.events();
    const [numbers] = world.loads;
    world.broker.handleLoaded(numbers!, [null], world.now);
    world.drain();
    expect(world.events()).toEqual([{ kind: "messageLost", clientId: "s", number: numbers![0] }]);
    expect(client.takes()).toEqual([]);
    expect(world.count("queued")).toBe(0);
  });

  test("is not resent", () => {
    const { world, publisher } = withAbsent();
    const before = world.connected(kept("s"));
    publishMany(publisher, 3, 10);
    expect(before.takes()).toHaveLength(3);
    before.cut();
    publisher.publishes("t", "last", { qos: 1, id: 9 });
    world.holdsLoads = true;
    const after = world.connected(kept("s"));
    const [numbers] = world.loads.splice(0);
    const values = Array.from(numbers!, (number, i) => (i === 1 ? null : world.stored(number)));
    world.broker.handleLoaded(numbers!, values, world.now);
    world.drain();
    expect(after.takes().map(idIn)).toEqual([1, 3]);
    expect(world.count("droppedLost")).toBe(1);
  });
});

describe("while a load is on its way", () => {
  function waiting(fields = kept("s")) {
    const { world, publisher } = withAbsent({}, fields);
    const payloads = publishMany(publisher, 100);
    world.holdsLoads = true;
    return { world, publisher, payloads, client: world.connected(fields) };
  }

  test("the client may go and come again", () => {
    const { world, payloads, client } = waiting();
    client.cut();
    const [old] = world.loads;
    const again = world.connected(kept("s"));
    world.holdsLoads = false;
    expect(world.loads[0]).toBe(old);
    world.load();
    expect(takesAll(again)).toEqual(payloads);
  });

  test("the client may go before the answer", () => {
    const { world, payloads, client } = waiting();
    client.cut();
    world.load();
    expect(world.count("messages")).toBe(0);
    world.holdsLoads = false;
    expect(takesAll(world.connected(kept("s")))).toEqual(payloads);
  });

  test("another connection may take the session over", () => {
    const { world, payloads, client } = waiting();
    const next = world.connected(kept("s"));
    expect(client.isOpen).toBe(false);
    world.holdsLoads = false;
    world.load();
    expect(takesAll(next)).toEqual(payloads);
  });

  test("the session may end by a clean start", () => {
    const { world, publisher } = waiting();
    const clean = world.connected("s");
    expect(world.records(Table.Message) + world.records(Table.Queue)).toBe(0);
    clean.subscribes(1, ["t/x", 1]).takes();
    world.load();
    expect(clean.takes()).toEqual([]);
    publisher.publishes("t/x", "fresh", { qos: 1, id: 1 });
    expect(clean.takes()).toEqual(['PUBLISH t/x "fresh" q1 #1']);
    expect(world.count("messagesPaged")).toBe(0);
  });

  test("the session may expire", () => {
    const { world, client } = waiting(kept5("s"));
    client.cut();
    world.advance(1_001_000);
    expect(world.count("messagesPaged")).toBe(0);
    world.load();
    expect(world.count("messages")).toBe(0);
    expect(world.records(Table.Message)).toBe(0);
  });

  test("new messages are queued behind those that are loaded", () => {
    const { world, publisher, payloads, client } = waiting();
    publisher.publishes("t/y", "new", { qos: 1, id: 1 });
    client.unsubscribes(2, "t/#");
    expect(client.takes()).toEqual(["UNSUBACK #2"]);
    world.holdsLoads = false;
    world.load();
    expect(takesAll(client)).toEqual([...payloads, "new"]);
  });

  test("messages may expire", () => {
    const { world } = withAbsent({}, kept5("s"));
    const publisher = world.connected({ level: 5, clientId: "p5" });
    for (let n = 0; n < 600; n++) {
      const props = n < 500 ? { MessageExpiryInterval: 10 } : {};
      publisher.publishes("t", `${n}`, { qos: 1, id: n + 1, props });
    }
    world.holdsLoads = true;
    const client = world.connected(kept5("s"));
    world.advance(11_000);
    world.holdsLoads = false;
    world.load();
    expect(takesAll(client).map(Number)).toEqual(Array.from({ length: 100 }, (_, n) => 500 + n));
  });
});

test("messages that all expire between the request for a page and its poll do not stop the queue", () => {
  const { world } = withAbsent({}, kept5("s"));
  const publisher = world.connected({ level: 5, clientId: "p5" });
  for (let n = 0; n < 1500; n++) {
    publisher.publishes("t", "x", { qos: 1, id: n + 1, props: { MessageExpiryInterval: 10 } });
  }
  publisher.publishes("t", "stays", { qos: 1, id: 1501 });
  world.holdsLoads = true;
  const client = world.connected(kept5("s"));
  // All pages on their way are answered late.
  world.advance(11_000);
  world.holdsLoads = false;
  while (world.loads.length > 0) world.load();
  world.advance(1);
  expect(takesAll(client)).toEqual(["stays"]);
});

test("a message for several clients is in memory as long as one of them needs it, and in the store once", () => {
  const { world, publisher } = withAbsent();
  world.connected(kept("away")).subscribes(1, ["t/#", 1]).cut();
  const connected = world.connected(kept("here")).subscribes(1, ["t/#", 1]);
  connected.takes();
  const payloads = publishMany(publisher, 10);
  expect(world.count("messages")).toBe(10);
  expect(world.count("messagesPaged")).toBe(10);
  expect(world.records(Table.Message)).toBe(10);
  // Messages in memory are not loaded.
  const first = world.connected(kept("s"));
  expect(takesAll(first)).toEqual(payloads);
  expect(world.count("messagesLoaded")).toBe(0);
  expect(takesAll(connected)).toEqual(payloads);
  expect(world.count("messages")).toBe(0);
  expect(world.records(Table.Message)).toBe(10);
  expect(takesAll(world.connected(kept("away")))).toEqual(payloads);
  expect(world.count("messagesLoaded")).toBe(10);
  expect(world.records(Table.Message)).toBe(0);
});

describe("messages of a shared subscription move to another member when the session ends", () => {
  const shared = "$share/g/t/#";
  function withMember(fields: ConnectFields) {
    const world = new TestBroker({ durable: "at once", limits });
    const first = world.connected(kept5("first")).subscribes(1, [shared, 1]);
    first.cut();
    const publisher = world.connected("p");
    const payloads = publishMany(publisher, 50);
    expect(world.count("messagesPaged")).toBe(50);
    const second = world.connected(fields).subscribes(1, [shared, 1]);
    second.takes();
    return { world, payloads, second };
  }

  test("and are loaded for it", () => {
    const { world, payloads, second } = withMember(kept5("second"));
    world.connected({ level: 5, clientId: "first", clean: true });
    expect(takesAll(second)).toEqual(payloads);
    expect(world.records(Table.Message) + world.records(Table.Queue)).toBe(0);
  });

  test("whose session is not kept", () => {
    const { world, payloads, second } = withMember({ level: 5, clientId: "second" });
    world.connected({ level: 5, clientId: "first", clean: true });
    expect(takesAll(second)).toEqual(payloads);
    expect(world.records(Table.Message) + world.records(Table.Queue)).toBe(0);
    expect(world.count("messages") + world.count("messagesPaged")).toBe(0);
  });

  test("whose session is not kept, and a crash before they are loaded leaves no trace", () => {
    const { world } = withMember({ level: 5, clientId: "second" });
    world.connected({ level: 5, clientId: "first", clean: true });
    expect(world.records(Table.Message)).toBeGreaterThan(0);
    const after = world.crash();
    expect(Object.values(after.recovered!.dropped)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(after.records(Table.Message)).toBe(0);
  });

  test("who is not connected, and they survive a crash there", () => {
    const { world, payloads, second } = withMember(kept5("second"));
    second.cut();
    world.connected({ level: 5, clientId: "first", clean: true });
    expect(world.count("messagesPaged")).toBe(50);
    const after = world.crash();
    expect(Object.values(after.recovered!.dropped)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(takesAll(after.connected(kept5("second")))).toEqual(payloads);
  });

  test("or go with their records if there is none", () => {
    const { world, second } = withMember({ level: 5, clientId: "second" });
    second.cut();
    world.connected({ level: 5, clientId: "first", clean: true });
    expect(world.count("messagesPaged")).toBe(0);
    expect(world.records(Table.Message)).toBe(0);
  });
});

describe("a broker that recovers more than its memory", () => {
  test("keeps only integers beyond the budget, and delivers everything in order", () => {
    const { world, publisher } = withAbsent();
    const payloads = publishMany(publisher, 900, 500);
    const after = world.crash(0, { limits: { queuedBytesInMemoryMax: 100_000 } });
    expect(after.count("queued")).toBe(900);
    expect(after.count("messagesPaged")).toBeGreaterThan(600);
    expect(after.count("messages")).toBeGreaterThan(150);
    expect(after.count("messageBytes")).toBeLessThan(900 * 28 + 300_000);
    expect(after.count("storeBytes")).toBe(world.count("storeBytes"));
    expect(takesAll(after.connected(kept("s")))).toEqual(payloads);
    expect(after.records(Table.Message) + after.records(Table.Queue)).toBe(0);
    expect(after.count("storeBytes")).toBe(0);
  });

  test("starts although all messages together exceed messageBytesMax", () => {
    const { world, publisher } = withAbsent({ limits: { messageBytesMax: 1_048_576 } });
    const payloads = publishMany(publisher, 900, 1000);
    const after = world.crash(0, {
      limits: { queuedBytesInMemoryMax: 1e9, messageBytesMax: 1_048_576 },
    });
    expect(after.count("queued")).toBe(900);
    expect(takesAll(after.connected(kept("s")))).toEqual(payloads);
  });

  test("has retained messages and wills in memory all the same", () => {
    const { world, publisher } = withAbsent();
    publishMany(publisher, 10);
    for (let n = 0; n < 2000; n++) publisher.publishes(`r/${n}`, `${n}`, { retain: true });
    world.connected({
      ...kept5("w"),
      will: { topic: "t/w", payload: "gone", qos: 1, props: { WillDelayInterval: 5 } },
    });
    const after = world.crash();
    expect(Object.values(after.recovered!.dropped)).toEqual([0, 0, 0, 0, 0, 0]);
    after.advance(6000);
    const client = after.connected(kept("s"));
    expect(takesAll(client).at(-1)).toBe("gone");
    client.subscribes(2, ["r/#", 0]);
    expect(client.takes()).toHaveLength(2001);
  });

  test("shows the same as before", () => {
    const { world, publisher } = withAbsent({}, kept("s"), 2);
    const before = world.connected(kept("s"));
    publishMany(publisher, 50, 10, 2);
    before.takes();
    before.send(pubrec(1), pubrec(2));
    before.cut();
    publisher.cut();
    const sessions = (of: TestBroker) => inspect(of.broker).sessions;
    expect(sessions(world.crash())).toEqual(sessions(world));
  });

  test("refuses a store whose retained messages do not fit", () => {
    const { world, publisher } = withAbsent();
    for (let n = 0; n < 30; n++) {
      publisher.publishes(`r/${n}`, new Uint8Array(100_000), { retain: true });
    }
    expect(() => world.crash(0, { limits: { messageBytesMax: 1_048_576 } })).toThrow(
      /messageBytesMax.*enough for the messages of the store/,
    );
  });
});

describe("storeBytesMax", () => {
  test("drops new messages for kept sessions, counts them, and tells a 5.0 publisher", () => {
    const { world } = withAbsent({ limits: { storeBytesMax: 1_048_576 } });
    const publisher = world.connected({ level: 5, clientId: "p5" });
    for (let n = 0; n < 12; n++) {
      publisher.publishes("t", new Uint8Array(100_000), { qos: 1, id: n + 1 });
    }
    const acks = publisher.takes();
    expect(acks.filter((line) => !line.includes("QuotaExceeded"))).toHaveLength(10);
    expect(acks.slice(10)).toEqual([
      "PUBACK #11 QuotaExceeded ReasonString",
      "PUBACK #12 QuotaExceeded ReasonString",
    ]);
    expect(world.count("droppedStoreFull")).toBe(2);
    publisher.publishes("t", new Uint8Array(100_000), { qos: 2, id: 13 });
    expect(publisher.takes()).toEqual(["PUBREC #13 QuotaExceeded ReasonString"]);
    // Its identifier is free again.
    publisher.publishes("other", "", { qos: 2, id: 13 });
    expect(publisher.takes()).toEqual(["PUBREC #13 NoMatchingSubscribers"]);
    // Sessions that are not kept get the message.
    const live = world.connected("live").subscribes(1, ["t", 1]);
    live.takes();
    publisher.publishes("t", new Uint8Array(100_000), { qos: 1, id: 14 });
    expect(publisher.takes()).toEqual(["PUBACK #14"]);
    expect(live.takes()).toHaveLength(1);
  });

  test("has room again when messages have been delivered", () => {
    const { world, publisher } = withAbsent({ limits: { storeBytesMax: 1_048_576 } });
    const publishLarge = (count: number): void => {
      for (let id = 1; id <= count; id++)
        publisher.publishes("t", new Uint8Array(100_000), { qos: 1, id });
    };
    publishLarge(12);
    expect(world.count("queued")).toBe(10);
    const client = world.connected(kept("s"));
    for (const line of client.takes()) client.send(puback(idIn(line)));
    client.send(disconnect);
    publishLarge(5);
    expect(world.count("queued")).toBe(5);
  });
});

test("publishers are not read while messages that are not stored yet would fill the memory", () => {
  const { world, publisher } = withAbsent({
    durable: "when told",
    limits: { messageBytesMax: 2_097_152, receiveMax: 65_535 },
  });
  let sent = 0;
  while (publisher.isReading && sent < 100) {
    publisher.publishes("t", new Uint8Array(50_000), { qos: 1, id: ++sent });
  }
  expect(sent).toBeLessThan(30);
  expect(world.count("droppedNoMemory")).toBe(0);
  world.commit();
  expect(publisher.isReading).toBe(true);
  expect(publisher.takes()).toHaveLength(sent);
});

test("a load for which there is no memory is tried again", () => {
  const { world, publisher } = withAbsent({ limits: { messageBytesMax: 4_194_304 } });
  const payloads = publishMany(publisher, 300, 4000);
  const hog = world.connected("hog").subscribes(1, ["hog/#", 0]);
  hog.writable(false);
  for (let n = 0; n < 62; n++) publisher.publishes("hog/x", new Uint8Array(65_000));
  const client = world.connected(kept("s"));
  expect(client.takes()).toEqual([]);
  world.advance(500);
  expect(client.takes()).toEqual([]);
  hog.writable(true);
  world.advance(500);
  expect(takesAll(client)).toEqual(payloads);
  expect(world.count("droppedNoMemory")).toBe(0);
});

test("a store that cannot be read counts as failed", () => {
  const { world, publisher } = withAbsent();
  publishMany(publisher, 5);
  world.holdsLoads = true;
  const client = world.connected(kept("s"));
  world.broker.handleLoadFailure(world.loads[0]!, world.now);
  world.drain();
  expect(client.takes()).toEqual([]);
  expect(world.broker.counters[Counter.loadsFailed]).toBe(1);
  expect(inspect(world.broker).journal.hasFailed).toBe(true);
  const next = world.open().connects(kept("next"));
  expect(next.takes()).toEqual(["CONNACK present=0 code=3"]);
});

test("an answer that nobody waits for is ignored", () => {
  const { world } = withAbsent();
  world.broker.handleLoaded(Float64Array.of(77), [null], world.now);
  expect(world.events().filter(({ kind }) => kind === "messageLost")).toEqual([]);
});

test.each([true, false])("loads are input: a recording replays them (payloads: %s)", (payloads) => {
  const { world, publisher } = withAbsent({ record: new Recording({ payloads }) });
  publishMany(publisher, 300);
  for (let n = 0; n < 5; n++) publisher.publishes(`r/${n}`, "kept", { retain: true });
  world.holdsLoads = true;
  const client = world.connected(kept("s"));
  world.broker.handleLoaded(
    world.loads[0]!,
    Array.from(world.loads.shift()!, () => null),
    world.now,
  );
  world.holdsLoads = false;
  world.drain();
  while (world.loads.length > 0) world.load();
  expect(takesAll(client).length).toBeGreaterThan(200);
  client.cut();
  publishMany(publisher, 40);
  const after = world.crash(0, { record: new Recording({ payloads }) });
  expect(takesAll(after.connected(kept("s")))).toHaveLength(40);
});
