import { describe, expect, test } from "vitest";
import { CloseCause, Reason } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import {
  connect,
  disconnect,
  disconnectWith,
  hex,
  publish,
  subscribe,
} from "../../support/packets.ts";

const will = { topic: "w", payload: "gone", qos: 1 } as const;

function watched() {
  const world = new TestBroker();
  const watcher = world.connected("watcher").subscribes(1, ["w", 2]);
  watcher.takes();
  const client = world.connected({ clientId: "mortal", keepAlive: 10, will });
  return { world, watcher, client };
}

describe("[MQTT311-3.1.2-8] publishes the will when the connection ends by", () => {
  const endings: Record<string, (w: ReturnType<typeof watched>) => void> = {
    "a reset": ({ client }) => client.cut(),
    "the peer closing without DISCONNECT": ({ client }) => client.cut(CloseCause.Ended),
    "a keep alive that passed": ({ world }) => world.advance(15_000),
    "a malformed packet": ({ client }) => void client.send(hex("36 05 0001 61 0001")),
    "a protocol error": ({ client }) => void client.connects(),
    "a takeover": ({ world }) => void world.connected("mortal"),
    "a command": ({ world }) => {
      const reason = Reason.AdministrativeAction;
      world.command({ kind: "kick", clientId: "mortal", reason });
    },
  };
  test.each(Object.entries(endings))("%s", (_, end) => {
    const setting = watched();
    end(setting);
    expect(setting.watcher.takes()).toEqual(['PUBLISH w "gone" q1 #1']);
    expect(setting.world.count("willsPublished")).toBe(1);
  });
});

test("[MQTT311-3.1.2-10] DISCONNECT discards the will [MQTT311-3.14.4-3]", () => {
  const { world, watcher, client } = watched();
  client.send(disconnect);
  expect(watcher.takes()).toEqual([]);
  watcher.send(disconnect);
  expect(world.count("messages")).toBe(0);
});

test("[MQTT311-3.1.2-17] retains a will with RETAIN, and not one without [MQTT311-3.1.2-16]", () => {
  for (const retain of [true, false]) {
    const world = new TestBroker();
    world.connected({ clientId: "m", will: { ...will, retain } }).cut();
    const late = world.connected("late").subscribes(1, ["w", 0]);
    expect(late.takes().slice(1)).toEqual(retain ? ['PUBLISH w "gone" q0 retain'] : []);
  }
});

test("a will with QoS 2 is delivered at QoS 2", () => {
  const world = new TestBroker();
  const watcher = world.connected("watcher").subscribes(1, ["w", 2]);
  world.connected({ clientId: "m", will: { ...will, qos: 2 } }).cut();
  expect(watcher.takes().at(-1)).toBe('PUBLISH w "gone" q2 #1');
});

test("publishes a will with an empty payload [MQTT311-3.1.2-9]", () => {
  const world = new TestBroker();
  const watcher = world.connected("watcher").subscribes(1, ["w", 0]);
  world.connected({ clientId: "m", will: { topic: "w" } }).cut();
  expect(watcher.takes().at(-1)).toBe('PUBLISH w "" q0');
});

test("does not publish the will of a connection that was never accepted", () => {
  const world = new TestBroker();
  const watcher = world.connected("watcher").subscribes(1, ["w", 0]);
  watcher.takes();
  world.open().connects({ clientId: "", clean: false, will });
  expect(watcher.takes()).toEqual([]);
});

test("queues a will for an offline session", () => {
  const world = new TestBroker();
  const kept = { clientId: "k", clean: false } as const;
  world.connected(kept).send(subscribe(1, ["w", 1]), disconnect);
  world.connected({ clientId: "m", will }).cut();
  expect(world.connected(kept).takes()).toEqual(['PUBLISH w "gone" q1 #1']);
});

test("refuses a will to a $SYS topic with code 5", () => {
  const client = new TestBroker().open().connects({ will: { topic: "$SYS/broker/x" } });
  expect(client.takes()).toEqual(["CONNACK present=0 code=5"]);
});

test("messages of a chunk are delivered if a will in the middle of it empties the topic table", () => {
  const world = new TestBroker({ limits: { topicTableBytesMax: 65_536 } });
  const watcher = world.connected("watcher").subscribes(1, ["t/#", 0], ["w", 0]);
  watcher.takes();
  // Fill the topic table until the will's topic empties it, with every packet before and after.
  for (let n = 0; n < 400; n++) {
    const topic = `w${"x".repeat(n % 50)}`;
    world.connected({ clientId: "m", will: { topic, payload: "gone" } });
    const taker = world.open();
    const chunk = [connect({ clientId: "m" }), publish(`t/${n}`, "1"), publish(`t/${n}`, "2")];
    taker.send(Uint8Array.from(chunk.flatMap((packet) => [...packet])));
    const got = watcher.takes().filter((line) => line.startsWith("PUBLISH t/"));
    expect(got).toEqual([`PUBLISH t/${n} "1" q0`, `PUBLISH t/${n} "2" q0`]);
  }
});

test("publishes a delayed will once, when the Will Delay Interval passes or the session ends", () => {
  const world = new TestBroker();
  const watcher = world.connected("w").subscribes(1, ["gone", 0]);
  watcher.takes();
  const will = { topic: "gone", payload: "x", props: { WillDelayInterval: 30 } };
  for (const [expiry, due] of [
    [10, 10],
    [100, 30],
  ] as const) {
    const client = world.connected({ level: 5, will, props: { SessionExpiryInterval: expiry } });
    client.cut();
    world.advance(due * 1000 - 10);
    expect(watcher.takes()).toEqual([]);
    world.advance(1000);
    expect(watcher.takes()).toEqual(['PUBLISH gone "x" q0']);
    world.advance(200_000);
    expect(watcher.takes()).toEqual([]);
  }
  expect(world.count("messages")).toBe(0);
});

test("[MQTT-3.1.3-9] a client that reconnects cancels its delayed will, and the end of the session does not publish it", () => {
  const world = new TestBroker();
  const watcher = world.connected("w").subscribes(1, ["gone", 0]);
  watcher.takes();
  const kept = { clean: false, props: { SessionExpiryInterval: 100 } };
  const will = { topic: "gone", payload: "x", props: { WillDelayInterval: 30 } };
  world.connected({ level: 5, ...kept, will }).cut();
  const back = world.connected({ level: 5, ...kept });
  back.send(disconnectWith(0, { SessionExpiryInterval: 0 }));
  world.advance(200_000);
  expect(watcher.takes()).toEqual([]);
  expect(world.count("messages")).toBe(0);
});
