// A bridge of mosquitto and its like: the top bit of the level byte, and its state below $SYS.
import { describe, expect, test } from "vitest";
import { inspect, Reason, Table, Verdict } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker, type TestClient } from "../../support/broker.ts";
import { Mqtt5Client, packetsTo } from "../../support/mqtt5-client.ts";
import { connect, disconnect, puback, publish, subscribe } from "../../support/packets.ts";

const levels = [3, 4, 5] as const;
type Level = (typeof levels)[number];

/** A connected bridge; what it was sent is read by `packets`. */
function bridge(world: TestBroker, level: Level, fields: { clean?: boolean } = {}): TestClient {
  const client = world.open();
  client.send(connect({ level, isBridge: true, clientId: "bridge", ...fields }));
  const [connack] = packets(client, level);
  expect([connack!.type, connack!.reason]).toEqual(["CONNACK", 0]);
  return client;
}

function packets(client: TestClient, level: Level): wire.Packet[] {
  return packetsTo(client, level);
}

/** The messages among them: topic, payload, and whether RETAIN is set. */
function messages(client: TestClient, level: Level): string[] {
  return packets(client, level).flatMap((packet) =>
    packet.type === "PUBLISH"
      ? [`${packet.topic} ${packet.payload}${packet.retain ? " r" : ""}`]
      : [],
  );
}

const filters = (...names: string[]): [string, number][] => names.map((name) => [name, 1]);
const say = (level: Level, topic: string, payload: string, retain = false): Uint8Array =>
  wire.publish(level, { topic, payload, retain });

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

  test("is a bridge to the policy", () => {
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
    const reader = world.connected("reader").send(subscribe(1, ["#", 0]));
    reader.takes();
    const client = bridge(world, level);
    client.send(wire.subscribe(level, 1, filters("a/#", "+/b", "$share/g/a/#")));
    client.send(say(level, "a/b", "own"), say(level, "a/c", "own"));
    expect(messages(client, level)).toEqual([]);
    expect(reader.takes()).toEqual(['PUBLISH a/b "own" q0', 'PUBLISH a/c "own" q0']);
    world.connected("other").send(publish("c/b", "other"));
    expect(messages(client, level)).toEqual(["c/b other"]);
  });

  test("receives RETAIN as published, for live and for retained messages", () => {
    const world = new TestBroker();
    const other = world.connected("other").send(publish("a/old", "x", { retain: true }));
    const client = bridge(world, level);
    client.send(wire.subscribe(level, 1, filters("a/#")));
    expect(messages(client, level)).toEqual(["a/old x r"]);
    other.send(publish("a/live", "y", { retain: true }), publish("a/live", "z"));
    expect(messages(client, level)).toEqual(["a/live y r", "a/live z"]);
  });

  test("can retain messages", () => {
    const world = new TestBroker();
    bridge(world, level).send(say(level, "a", "x", true));
    const reader = world.connected("reader").send(subscribe(1, ["a", 0]));
    expect(reader.takes()).toEqual(["SUBACK #1 0", 'PUBLISH a "x" q0 retain']);
  });

  test("does not receive its own messages by a shared subscription; other members do", () => {
    const world = new TestBroker();
    const client = bridge(world, level);
    client.send(wire.subscribe(level, 1, filters("$share/g/a")));
    client.send(say(level, "a", "alone"));
    const member = world.connected("member").send(subscribe(1, ["$share/g/a", 0]));
    member.takes();
    client.send(say(level, "a", "1"), say(level, "a", "2"));
    expect(messages(client, level)).toEqual([]);
    expect(member.takes()).toEqual(['PUBLISH a "1" q0', 'PUBLISH a "2" q0']);
    world.connected("other").send(publish("a", "3"), publish("a", "4"));
    expect([...messages(client, level), ...member.takes()]).toHaveLength(2);
  });
});

test("a bridge's session keeps its options, in the journal too", () => {
  const world = new TestBroker({ durable: "at once" });
  bridge(world, 4, { clean: false }).send(subscribe(1, ["a", 1]));
  const [recorded] = options(world);
  expect(recorded).toBe(0b1101);
  for (const client of world.clients.values()) client.cut();
  world.connected("other").send(publish("a", "while away", { qos: 1, retain: true }));
  const will = { topic: "a", payload: "gone", qos: 1 };
  const fields = { isBridge: true, clientId: "bridge", clean: false, will };
  const back = world.open().send(connect(fields));
  const accepted = "CONNACK present=1 code=0";
  expect(back.takes()).toEqual([accepted, 'PUBLISH a "while away" q1 #1 retain']);
  back.send(puback(1), publish("a", "own", { qos: 1 }));
  expect(back.takes()).toEqual(["PUBACK #1"]);
  back.cut();
  expect(world.count("willsPublished")).toBe(1);
  expect(world.open().send(connect(fields)).takes()).toEqual([accepted]);
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
  const before = new Mqtt5Client(world, {
    clientId: "bridge",
    clean: false,
    props: { SessionExpiryInterval: 100 },
  });
  before.send(wire.subscribe(5, 1, [["a", 1]], { SubscriptionIdentifier: 268_435_455 }));
  before.send(wire.subscribe(5, 2, [["$share/g/b", 1]]));
  expect(options(world)).toEqual([0xffff_fff1, 1]);
  before.send(wire.disconnect(0));
  const client = bridge(world, 4, { clean: false });
  expect(options(world)).toEqual([0xffff_fffd, 0b1101]);
  client.send(publish("a", "own"), publish("b", "own"));
  expect(client.takes()).toEqual([]);
  world.connected("other").send(publish("a", "x", { retain: true }));
  expect(client.takes()).toEqual(['PUBLISH a "x" q0 retain']);
});

const state = "$SYS/broker/connection/edge.home/state";

describe.each(levels)("$SYS/broker/connection/ID/state, by a client of level %i", (level) => {
  test("is accepted as a PUBLISH, with RETAIN, and as a will", () => {
    const world = new TestBroker();
    const reader = world.connected("reader");
    reader.send(subscribe(1, ["$SYS/broker/connection/+/state", 0])).takes();
    const will = { topic: state, payload: "0", retain: true, qos: 1 };
    const client = world.open().send(wire.connect(level, { clientId: "c", will }));
    client.send(say(level, state, "1", true));
    expect(client.isOpen).toBe(true);
    client.cut();
    const late = world.connected("late").send(subscribe(1, ["$SYS/#", 0]));
    expect(reader.takes()).toEqual([`PUBLISH ${state} "1" q0`, `PUBLISH ${state} "0" q0`]);
    expect(late.takes()).toEqual(["SUBACK #1 0", `PUBLISH ${state} "0" q0 retain`]);
  });
});

test("refuses every other topic below $SYS to clients", () => {
  const world = new TestBroker();
  const reader = world.connected("reader").send(subscribe(1, ["$SYS/#", 0]));
  reader.takes();
  for (const topic of [
    ...["$SYS", "$SYS/", "$SYS/broker/connection", "$SYS/broker/connection/a/b/state"],
    ...["$SYS/broker/connection/a", "$SYS/broker/connection/a/states", "$SYS/broker/version"],
    ...["$SYS/broker/connection/a/state/b", "$SYS/broker/connections/a/state"],
  ]) {
    const client = new Mqtt5Client(world).send(wire.publish(5, { topic, qos: 1, id: 1 }));
    expect([topic, client.takes()[0]!.reason]).toEqual([topic, Reason.NotAuthorized]);
    const { connack } = new Mqtt5Client(world, { clientId: "w", will: { topic } });
    expect([topic, connack.reason]).toEqual([topic, Reason.NotAuthorized]);
  }
  expect(reader.takes()).toEqual([]);
});

test("with bridgeStateAvailable 0, refuses the state of bridges too", () => {
  const world = new TestBroker({ limits: { bridgeStateAvailable: 0 } });
  const client = new Mqtt5Client(world).send(wire.publish(5, { topic: state, qos: 1, id: 1 }));
  expect(client.takes()[0]!.reason).toBe(Reason.NotAuthorized);
  const { connack } = new Mqtt5Client(world, { clientId: "w", will: { topic: state } });
  expect(connack.reason).toBe(Reason.NotAuthorized);
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
  const client = new Mqtt5Client(world);
  client.send(wire.publish(5, { topic: state, qos: 1, id: 1, retain: true }));
  expect(client.takes()[0]!.reason).toBe(Reason.NotAuthorized);
  const will = { topic: state, qos: 2, retain: true };
  expect(new Mqtt5Client(world, { clientId: "w", will }).connack.reason).toBe(Reason.NotAuthorized);
  expect(asked).toEqual([
    [state, 1, true],
    [state, 2, true],
  ]);
});

test("a bridge's state is a client's message: observed, recorded, and retained no longer than others", () => {
  const world = new TestBroker({ durable: "at once", limits: { retainedMillisMax: 5000 } });
  world.broker.handleCommand({ kind: "observe", publishes: true }, world.now);
  const will = { topic: state, payload: "0", retain: true };
  world
    .connected({ clientId: "c", will })
    .send(publish(state, "1", { retain: true }))
    .cut();
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
