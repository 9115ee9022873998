// Routes are cached by topic: a change of subscriptions must take effect with the next message.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import {
  concat,
  connect,
  pingreq,
  publish,
  subscribe,
  unsubscribe,
} from "../../support/packets.ts";
import { Random } from "../../support/random.ts";

const names = ["a", "a/b", "$other/x", "$SYS/of/mine"];

test.each(names)("a new or ended subscription takes effect for the next message to %j", (topic) => {
  const world = new TestBroker();
  const say = (): void => {
    world.command({ kind: "publish", topic, payload: new Uint8Array(1), qos: 0, retain: false });
  };
  const reader = world.connected("r");
  for (let round = 0; round < 5; round++) {
    say();
    expect(reader.takes()).toEqual([]);
    reader.subscribes(1, [topic, 0]);
    reader.takes();
    say();
    expect(reader.takes()).toHaveLength(1);
    say();
    expect(reader.takes()).toHaveLength(1);
    reader.unsubscribes(2, topic);
    reader.takes();
  }
});

test("subscriptions and messages alternate in one chunk of a client", () => {
  const world = new TestBroker();
  const client = world.connected("c");
  client.send(
    concat(
      publish("t", "1"),
      subscribe(1, ["t", 0]),
      publish("t", "2"),
      unsubscribe(2, "t"),
      publish("t", "3"),
      subscribe(3, ["+", 0]),
      publish("t", "4"),
    ),
  );
  expect(client.takes().filter((line) => line.startsWith("PUBLISH"))).toEqual([
    'PUBLISH t "2" q0',
    'PUBLISH t "4" q0',
  ]);
});

test("a new session in the slot of an ended one does not inherit its subscriptions", () => {
  const world = new TestBroker();
  const publisher = world.connected("p");
  world.connected("one").subscribes(1, ["t", 0]).cut();
  const two = world.connected("two");
  publisher.publishes("t", "x");
  expect(two.takes()).toEqual([]);
});

test("every message reaches its subscribers when the topic table is emptied in the middle of a chunk", () => {
  const world = new TestBroker({ limits: { topicTableBytesMax: 65_536 } });
  const random = new Random(5);
  const readers = Array.from({ length: 10 }, (_, n) => {
    const client = world.connected(`r${n}`).subscribes(1, [`t/${n}/#`, 0]);
    client.takes();
    return client;
  });
  const publisher = world.connected("p");
  let sent = 0;
  for (let round = 0; round < 100; round++) {
    const owed = readers.map(() => [] as string[]);
    const packets: Uint8Array[] = [];
    for (let n = 0; n < 100; n++) {
      const reader = random.below(10);
      // Some names come again and again, most are new.
      const topic = `t/${reader}/${random.chance(3) ? "known" : `n${sent++}`}`;
      packets.push(publish(topic, `${n}`));
      owed[reader]!.push(`PUBLISH ${topic} "${n}" q0`);
      if (random.chance(30)) {
        // A change of subscriptions in between, which does not affect these messages.
        packets.push(subscribe(9, ["unused", 0]), unsubscribe(9, "unused"));
      }
    }
    const chunk = concat(...packets);
    const cut = random.below(chunk.length);
    publisher.send(chunk.subarray(0, cut), chunk.subarray(cut));
    publisher.takes();
    expect(readers.map((reader) => reader.takes())).toEqual(owed);
  }
});

test("many topics with many subscribers use bounded memory", () => {
  const world = new TestBroker();
  world.drains = false;
  // Offline subscribers: at QoS 0 they cost only their place in the routes.
  for (let n = 0; n < 1500; n++) {
    const client = world.open();
    client.send(connect({ clientId: `${n}`, clean: false }), subscribe(1, ["t/#", 0]));
    world.drain();
    client.cut();
  }
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const bytes = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const publisher = world.open().connects({ clientId: "p" });
  const before = bytes();
  // Each topic has a route of 24 KB.
  for (let n = 0; n < 9000; n++) publisher.publishes(`t/${n}`, "x");
  expect(bytes() - before).toBeLessThan(120_000_000);
  // Keeps the broker from being collected before.
  expect(publisher.send(pingreq).isOpen).toBe(true);
}, 60_000);
