// Bridges, for example of mosquitto: the top bit of the level byte, and the bridge's state below $SYS.
import { describe, expect, test } from "vitest";
import { inspect, Table, Verdict } from "../../../core/mod.ts";
import { TestBroker, type TestClient } from "../../support/broker.ts";
import {
  disconnect,
  disconnectWith,
  packetsOf,
  puback,
  publish,
  subscribe,
} from "../../support/packets.ts";

const levels = [3, 4, 5] as const;
type Level = (typeof levels)[number];

/** A connected bridge. */
function bridge(world: TestBroker, level: Level, fields: { clean?: boolean } = {}): TestClient {
  return world.connected({ level, isBridge: true, clientId: "bridge", ...fields });
}

/** The lines of the messages that a client was sent. */
function messages(client: TestClient): string[] {
  return client.takes().filter((line) => line.startsWith("PUBLISH"));
}

const filters = (...names: string[]): [string, number][] => names.map((name) => [name, 1]);
const say = (level: Level, topic: string, payload: string, retain = false): Uint8Array =>
  packetsOf(level).publish(topic, payload, { retain });

describe.each(levels)("a bridge of level %i", (level) => {
  test("is accepted and reported as a bridge of that level", () => {
    const world = new TestBroker();
    bridge(world, level);
    world.connected("other");
    const connected = world.events().filter(({ kind }) => kind === "connected");
    expect(connected).toMatchObject([
      { clientId: "bridge", level, isBridge: true },
      { clientId: "other", level: 4, isBridge: false },
    ]);
    expect(inspect(world.broker).connections).toMatchObject([
      { clientId: "bridge", level, isBridge: true },
      { clientId: "other", level: 4, isBridge: false },
    ]);
  });

  test("is shown to the policy as a bridge", () => {
    const asked: unknown[] = [];
    const world = new TestBroker({
      policy: {
        authenticate: ({ level: at, isBridge }) => {
          asked.push([at, isBridge]);
          return Verdict.Allow;
        },
      },
    });
    bridge(world, level);
    world.connected("other");
    expect(asked).toEqual([
      [level, true],
      [4, false],
    ]);
  });

  test("does not receive its own messages by any of its subscriptions", () => {
    const world = new TestBroker();
    const reader = world.connected("reader").subscribes(1, ["#", 0]);
    reader.takes();
    const client = bridge(world, level);
    client.subscribes(1, ...filters("a/#", "+/b", "$share/g/a/#"));
    client.send(say(level, "a/b", "own"), say(level, "a/c", "own"));
    expect(messages(client)).toEqual([]);
    expect(reader.takes()).toEqual(['PUBLISH a/b "own" q0', 'PUBLISH a/c "own" q0']);
    world.connected("other").publishes("c/b", "other");
    expect(messages(client)).toEqual(['PUBLISH c/b "other" q0']);
  });

  test("receives RETAIN as published, for live and for retained messages", () => {
    const world = new TestBroker();
    const other = world.connected("other").publishes("a/old", "x", { retain: true });
    const client = bridge(world, level);
    client.subscribes(1, ...filters("a/#"));
    expect(messages(client)).toEqual(['PUBLISH a/old "x" q0 retain']);
    other.send(publish("a/live", "y", { retain: true }), publish("a/live", "z"));
    expect(messages(client)).toEqual(['PUBLISH a/live "y" q0 retain', 'PUBLISH a/live "z" q0']);
  });

  test("can retain messages", () => {
    const world = new TestBroker();
    bridge(world, level).send(say(level, "a", "x", true));
    const reader = world.connected("reader").subscribes(1, ["a", 0]);
    expect(reader.takes()).toEqual(["SUBACK #1 0", 'PUBLISH a "x" q0 retain']);
  });

  test("does not receive its own messages by a shared subscription; other members do", () => {
    const world = new TestBroker();
    const client = bridge(world, level);
    client.subscribes(1, ...filters("$share/g/a"));
    client.send(say(level, "a", "alone"));
    const member = world.connected("member").subscribes(1, ["$share/g/a", 0]);
    member.takes();
    client.send(say(level, "a", "1"), say(level, "a", "2"));
    expect(messages(client)).toEqual([]);
    expect(member.takes()).toEqual(['PUBLISH a "1" q0', 'PUBLISH a "2" q0']);
    world.connected("other").send(publish("a", "3"), publish("a", "4"));
    expect([...messages(client), ...member.takes()]).toHaveLength(2);
  });
});

test("a bridge's session keeps its options, in the journal too", () => {
  const world = new TestBroker({ durable: "at once" });
  bridge(world, 4, { clean: false }).subscribes(1, ["a", 1]);
  const [recorded] = options(world);
  expect(recorded).toBe(0b1101);
  for (const client of world.clients.values()) client.cut();
  world.connected("other").publishes("a", "while away", { qos: 1, retain: true });
  const will = { topic: "a", payload: "gone", qos: 1 };
  const fields = { isBridge: true, clientId: "bridge", clean: false, will };
  const back = world.open().connects(fields);
  const accepted = "CONNACK present=1 code=0";
  expect(back.takes()).toEqual([accepted, 'PUBLISH a "while away" q1 #1 retain']);
  back.send(puback(1), publish("a", "own", { qos: 1 }));
  expect(back.takes()).toEqual(["PUBACK #1"]);
  back.cut();
  expect(world.count("willsPublished")).toBe(1);
  expect(world.open().connects(fields).takes()).toEqual([accepted]);
});

/** The options of each subscription in the store. */
function options(world: TestBroker): number[] {
  const subscriptions = [...world.store].filter(([key]) =>
    key.startsWith(`${Table.Subscription}/`),
  );
  return subscriptions.map(([, value]) => new DataView(value.buffer).getUint32(1));
}

test("a client that reconnects as a bridge has a bridge's options for its earlier subscriptions", () => {
  const world = new TestBroker({ durable: "at once" });
  const before = world.connected({
    level: 5,
    clientId: "bridge",
    clean: false,
    props: { SessionExpiryInterval: 100 },
  });
  before.subscribes(1, ["a", 1], { SubscriptionIdentifier: 268_435_455 });
  before.subscribes(2, ["$share/g/b", 1]);
  expect(options(world)).toEqual([0xffff_fff1, 1]);
  before.send(disconnectWith(0));
  const client = bridge(world, 4, { clean: false });
  expect(options(world)).toEqual([0xffff_fffd, 0b1101]);
  client.send(publish("a", "own"), publish("b", "own"));
  expect(client.takes()).toEqual([]);
  world.connected("other").publishes("a", "x", { retain: true });
  expect(client.takes()).toEqual(['PUBLISH a "x" q0 retain']);
});

const state = "$SYS/broker/connection/edge.home/state";
/** The replies to a PUBLISH and to a will that are not authorized. */
const denied = "PUBACK #1 NotAuthorized ReasonString";
const refused = "CONNACK present=0 NotAuthorized ReasonString";

describe.each(levels)("$SYS/broker/connection/ID/state, by a client of level %i", (level) => {
  test("is accepted as a PUBLISH, with RETAIN, and as a will", () => {
    const world = new TestBroker();
    const reader = world.connected("reader");
    reader.subscribes(1, ["$SYS/broker/connection/+/state", 0]).takes();
    const will = { topic: state, payload: "0", retain: true, qos: 1 };
    const client = world.open().connects({ level: level, clientId: "c", will });
    client.send(say(level, state, "1", true));
    expect(client.isOpen).toBe(true);
    client.cut();
    const late = world.connected("late").subscribes(1, ["$SYS/#", 0]);
    expect(reader.takes()).toEqual([`PUBLISH ${state} "1" q0`, `PUBLISH ${state} "0" q0`]);
    expect(late.takes()).toEqual(["SUBACK #1 0", `PUBLISH ${state} "0" q0 retain`]);
  });
});

test("refuses every other topic below $SYS to clients", () => {
  const world = new TestBroker();
  const reader = world.connected("reader").subscribes(1, ["$SYS/#", 0]);
  reader.takes();
  for (const topic of [
    ...["$SYS", "$SYS/", "$SYS/broker/connection", "$SYS/broker/connection/a/b/state"],
    ...["$SYS/broker/connection/a", "$SYS/broker/connection/a/states", "$SYS/broker/version"],
    ...["$SYS/broker/connection/a/state/b", "$SYS/broker/connections/a/state"],
  ]) {
    const client = world.connected({ level: 5 }).publishes(topic, "", { qos: 1, id: 1 });
    expect(client.takes(), topic).toEqual([denied]);
    const withWill = world.open().connects({ level: 5, clientId: "w", will: { topic } });
    expect(withWill.takes(), topic).toEqual([refused]);
  }
  expect(reader.takes()).toEqual([]);
});

test("with bridgeStateAvailable 0, refuses the state of bridges too", () => {
  const world = new TestBroker({ limits: { bridgeStateAvailable: 0 } });
  const client = world.connected({ level: 5 }).publishes(state, "", { qos: 1, id: 1 });
  expect(client.takes()).toEqual([denied]);
  const withWill = world.open().connects({ level: 5, clientId: "w", will: { topic: state } });
  expect(withWill.takes()).toEqual([refused]);
});

test("the policy decides which client may publish a bridge's state", () => {
  const asked: unknown[] = [];
  const world = new TestBroker({
    policy: {
      publish: (_, topic, qos, retain) => {
        asked.push([topic, qos, retain]);
        return Verdict.Deny;
      },
    },
  });
  const client = world.connected({ level: 5 });
  client.publishes(state, "", { qos: 1, id: 1, retain: true });
  expect(client.takes()).toEqual([denied]);
  const will = { topic: state, qos: 2, retain: true };
  const withWill = world.open().connects({ level: 5, clientId: "w", will });
  expect(withWill.takes()).toEqual([refused]);
  expect(asked).toEqual([
    [state, 1, true],
    [state, 2, true],
  ]);
});

test("a bridge's state is a client's message: observed, recorded, and retained no longer than others", () => {
  const world = new TestBroker({ durable: "at once", limits: { retainedMillisMax: 5000 } });
  world.broker.handleCommand({ kind: "observe", publishes: true }, world.now);
  const will = { topic: state, payload: "0", retain: true };
  world.connected({ clientId: "c", will }).publishes(state, "1", { retain: true }).cut();
  const published = world.events().flatMap((e) => (e.kind === "published" ? [e.topic] : []));
  expect(published).toEqual([state, state]);
  expect(world.records(Table.Retained)).toBe(1);
  world.advance(5000);
  expect(world.records(Table.Retained)).toBe(0);
  expect(
    world
      .connected("r")
      .send(subscribe(1, [state, 0]), disconnect)
      .takes(),
  ).toEqual(["SUBACK #1 0"]);
});
