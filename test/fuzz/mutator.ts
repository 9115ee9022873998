/**
 * Random traffic: clients send valid, damaged and random bytes in random chunks, connect, disconnect, stop reading and
 * take over from one another. Healthy clients beside them must receive all their messages in order. The seed
 * determines the run.
 */
import { expect } from "vitest";
import { inspect, Table } from "../../core/mod.ts";
import { TestBroker, type TestBrokerOptions, type TestClient } from "../support/broker.ts";
import {
  concat,
  connect,
  disconnect,
  idIn,
  pingreq,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  unsubscribe,
} from "../support/packets.ts";
import { Random } from "../support/random.ts";
import { connect5, packet5 } from "./packets5.ts";

const topics = ["a", "a/b", "", "+", "#", "a/+", "$SYS/x", "w", "ä", "a\0", "x".repeat(300)];
const clientIds = ["f1", "f2", "f3", "", "x".repeat(30)];

/** A random packet, often valid. */
function packet(random: Random): Uint8Array {
  const id = random.chance(10) ? random.below(65_536) : random.below(8);
  const qos = random.below(3) as 0 | 1 | 2;
  const payload = new Uint8Array(random.chance(20) ? random.below(40_000) : random.below(40));
  const [retain, dup] = [random.chance(4), random.chance(10)];
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
      return publish(random.pick(topics), payload, { qos, id, retain, dup });
    case 3:
      return subscribe(id, [random.pick(topics), qos], [random.pick(topics), random.below(4)]);
    case 4:
      return unsubscribe(id, random.pick(topics));
    case 5:
      return puback(id);
    case 6:
      return pubrec(id);
    case 7:
      return pubrel(id);
    case 8:
      return pubcomp(id);
    case 9:
      return pingreq;
    case 10:
      return connect(fields(random));
    default:
      return random.chance(4) ? disconnect : pingreq;
  }
}

function fields(random: Random) {
  const will = {
    topic: random.pick(topics),
    payload: "w",
    qos: random.below(4),
    retain: random.chance(2),
  };
  return {
    level: random.pick([3, 4, 4, 4, 5] as const),
    clientId: random.pick(clientIds),
    clean: random.chance(2),
    keepAlive: random.below(20),
    ...(random.chance(3) ? { will } : {}),
    ...(random.chance(4) ? { username: "u", password: "p" } : {}),
  };
}

/** A damaged copy: a byte is changed, or the packet is cut, repeated, lengthened or replaced. */
function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = bytes.slice();
  switch (random.below(5)) {
    case 0:
      copy[random.below(copy.length)] = random.below(256);
      return copy;
    case 1:
      return copy.subarray(0, random.below(copy.length + 1));
    case 2:
      return concat(copy, copy.subarray(random.below(copy.length)));
    case 3:
      if (copy.length > 1) copy[1] = (copy[1]! + 1 + random.below(200)) & 0xff;
      return copy;
    default:
      return Uint8Array.from({ length: 1 + random.below(60) }, () => random.below(256));
  }
}

/** A publisher and a subscriber at QoS 1, which check that no message is lost, repeated or reordered. */
class Healthy {
  readonly #reader: TestClient;
  readonly #writer: TestClient;
  #sent = 0;
  #got = 0;

  constructor(world: TestBroker) {
    this.#reader = world.connected({ clientId: "healthy-reader", clean: false });
    this.#reader.send(subscribe(1, ["healthy", 1]));
    this.#reader.takes();
    this.#writer = world.connected("healthy-writer");
  }

  speak(): void {
    this.#sent++;
    const id = (this.#sent % 65_535) + 1;
    this.#writer.send(publish("healthy", `${this.#sent}`, { qos: 1, id }));
    expect(this.#writer.takes()).toEqual([`PUBACK #${id}`]);
    for (const line of this.#reader.takes()) {
      this.#got++;
      expect(line).toMatch(`PUBLISH healthy "${this.#got}" q1`);
      this.#reader.send(puback(idIn(line)));
    }
    expect(this.#got).toBe(this.#sent);
  }
}

/** An MQTT 5.0 publisher and subscriber at QoS 2, with a Subscription Identifier, an expiry and topic aliases. */
class HealthyMqtt5 {
  readonly #reader: TestClient;
  readonly #writer: TestClient;
  #sent = 0;

  constructor(world: TestBroker) {
    const kept = { SessionExpiryInterval: 1_000_000, TopicAliasMaximum: 3 };
    this.#reader = world.connected({
      ...{ level: 5, clientId: "mqtt5-reader", clean: false },
      props: kept,
    });
    const options = { SubscriptionIdentifier: 12 };
    this.#reader.subscribes(1, ["healthy/mqtt5", 2], options).takes();
    this.#writer = world.connected({ level: 5, clientId: "mqtt5-writer" });
  }

  speak(): void {
    const n = ++this.#sent;
    const id = (n % 65_535) + 1;
    const props = {
      TopicAlias: 1,
      MessageExpiryInterval: 9,
      UserProperty: [["n", `${n}`]],
    } as const;
    this.#writer.publishes(n === 1 ? "healthy/mqtt5" : "", `${n}`, { qos: 2, id, props });
    this.#writer.send(pubrel(id));
    expect(this.#writer.takes()).toEqual([`PUBREC #${id}`, `PUBCOMP #${id}`]);
    const [message = "", ...rest] = this.#reader.takes();
    expect(rest).toEqual([]);
    expect(message).toMatch(/^PUBLISH .* q2 #\d+ /);
    expect(message).toContain(` "${n}" q2`);
    expect(message).toContain(` MessageExpiryInterval=9`);
    expect(message).toContain(` UserProperty="n":"${n}"`);
    expect(message).toContain(" SubscriptionIdentifier=12");
    const received = idIn(message);
    this.#reader.send(pubrec(received), pubcomp(received));
    expect(this.#reader.takes()).toEqual([`PUBREL #${received}`]);
  }
}

/** Sends `inputs` random chunks from a seed. Throws if an expectation fails. */
export function fire(
  seed: number,
  inputs: number,
  options: Pick<TestBrokerOptions, "record" | "limits"> = {},
): void {
  const random = new Random(seed);
  const world = new TestBroker({
    ...options,
    ...(seed % 2 === 0 ? { durable: "at once" } : {}),
    limits: {
      packetBytesMax: 50_000,
      sessionMillisMax: 86_400_000,
      connectionsMax: 22,
      sessionsMax: 14,
      subscriptionsPerClientMax: 6,
      inflightMax: 4,
      queuedMessagesMax: 10,
      retainedMessagesMax: 8,
      topicTableBytesMax: 65_536,
      messageBytesMax: 4_194_304,
      inputBytesMax: 1_048_576,
      outputBytesMax: 20_000,
      // With a store, queued messages leave memory: all of them, or most.
      queuedBytesInMemoryMax: seed % 4 === 0 ? 0 : 2000,
      fanoutSlice: 16,
      receiveMax: 5,
      sysMillis: 5000,
      ...options.limits,
    },
  });
  const healthy = [new Healthy(world), new HealthyMqtt5(world)];
  const speak = (): void => healthy.forEach((pair) => void pair.speak());
  let clients: TestClient[] = [];
  // Apart, so that seeds that failed once still make the same traffic.
  const loads = new Random(seed + 1);
  const mqtt5Clients = new Set<TestClient>();
  for (let n = 0; n < inputs; n++) {
    clients = clients.filter((client) => client.isOpen);
    // Loads are answered late, and in any order.
    world.holdsLoads = true;
    if (loads.chance(3) && world.loads.length > 0) world.load(loads.below(world.loads.length));
    if (clients.length < 3 || (clients.length < 15 && random.chance(30))) {
      const client = world.open();
      if (client.conn !== 0) {
        clients.push(client);
        if (random.chance(2)) {
          mqtt5Clients.add(client);
          client.send(connect5(random, random.pick(clientIds)));
        } else if (!random.chance(8)) {
          client.send(connect(fields(random)));
        }
      }
      continue;
    }
    const client = random.pick(clients);
    // Whatever bytes the broker was sent, the packets that it sends are well formed.
    client.takes();
    const choice = random.below(100);
    if (choice < 3) client.cut();
    else if (choice < 6) client.writable(random.chance(2));
    else if (choice < 8) world.advance(random.below(8000));
    else if (choice < 12) speak();
    else {
      const next = (): Uint8Array =>
        mqtt5Clients.has(client) ? packet5(random, random.pick(clientIds)) : packet(random);
      let bytes = next();
      while (random.chance(2) && bytes.length < 3000) bytes = concat(bytes, next());
      if (random.chance(6)) bytes = damaged(bytes, random);
      if (bytes.length === 0) continue;
      const cut = random.chance(3) ? random.below(bytes.length) : 0;
      world.drains = random.chance(3);
      if (cut > 0) client.send(bytes.subarray(0, cut));
      client.send(bytes.subarray(cut));
      world.drains = true;
      world.drain();
    }
  }
  speak();
  world.holdsLoads = false;
  while (world.loads.length > 0) world.load();
  settle(world, clients);
}

/** A broker that recovers from the store has the same sessions. */
function recoverSame(world: TestBroker): void {
  if (world.store.size === 0) return;
  world.commit();
  const after = world.crash();
  expect(Object.values(after.recovered!.dropped)).toEqual([0, 0, 0, 0, 0, 0]);
  const recovered = keptSessions(after);
  const before = keptSessions(world);
  expect([...recovered.keys()].sort()).toEqual([...before.keys()].sort());
  for (const [clientId, session] of before) {
    // The messages of a connected client were on their way, and wait now.
    if (session.conn === null) expect(recovered.get(clientId)).toEqual(session);
  }
}

/** Sessions that outlive their connection, without their window: the next connection brings its own. */
function keptSessions({ broker }: TestBroker) {
  const kept = inspect(broker).sessions.filter(({ expiryMillis }) => expiryMillis > 0);
  return new Map(
    kept.map(({ windowFree: _, subscriptions, ...session }) => [
      session.clientId,
      // Their order means nothing.
      { ...session, subscriptions: new Set(subscriptions.map((each) => JSON.stringify(each))) },
    ]),
  );
}

/** All random clients disconnect and days pass: memory that remains was leaked. */
function settle(world: TestBroker, clients: readonly TestClient[]): void {
  for (const client of clients) if (client.isOpen) client.cut();
  recoverSame(world);
  const count = (name: Parameters<TestBroker["count"]>[0]): number => world.count(name);
  expect(count("clientsConnected")).toBe(4);
  world.advance(2 * 86_400_000);
  expect(count("connectionsOpened") - count("connectionsClosed")).toBe(4);
  expect(count("sessions")).toBe(4);
  expect(count("subscriptions")).toBe(2);
  // The topic alias of the healthy MQTT 5.0 publisher.
  expect(count("inputBytes")).toBe("healthy/mqtt5".length + 2);
  expect(count("outputBytes")).toBe(0);
  expect(count("sharedSubscriptions")).toBe(0);
  expect(count("inflight")).toBe(0);
  expect(count("queued")).toBe(0);
  expect(count("messages")).toBe(count("retainedMessages"));
  expect(count("messagesPaged")).toBe(0);
  if (world.store.size === 0) return;
  // A store has the healthy subscribers' sessions and subscriptions, the retained messages, and no other record.
  const retained = world.records(Table.Retained);
  expect(retained).toBeLessThanOrEqual(count("retainedMessages"));
  expect(world.records(Table.Message)).toBe(retained);
  expect(world.records(Table.Session)).toBe(2);
  expect(world.records(Table.Subscription)).toBe(2);
  expect(world.records(Table.Queue)).toBe(0);
}
