import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { pingreq, publish, subscribe } from "../../support/packets.ts";

/** The $SYS topics that a client sees, as topic → value. */
function values(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line) => {
      const found = /^PUBLISH \$SYS\/broker\/(.+) "(.*)" q0/.exec(line);
      return found === null ? [] : [[found[1]!, found[2]!] as const];
    }),
  );
}

/** Every name of mosquitto 2.0 below `$SYS/broker/`. */
const names = [
  ...["version", "uptime", "bytes/received", "bytes/sent", "heap/current", "heap/maximum"],
  ...["active", "connected", "disconnected", "expired", "inactive", "maximum", "total"].map(
    (name) => `clients/${name}`,
  ),
  ...["messages/received", "messages/sent", "messages/stored"],
  ...["publish/bytes/received", "publish/bytes/sent"],
  ...["publish/messages/dropped", "publish/messages/received", "publish/messages/sent"],
  ...["retained messages/count", "store/messages/count", "store/messages/bytes"],
  ...["subscriptions/count", "shared_subscriptions/count"],
  ...["bytes/received", "bytes/sent", "connections", "messages/received", "messages/sent"]
    .concat("publish/dropped", "publish/received", "publish/sent", "sockets")
    .flatMap((name) => [1, 5, 15].map((minutes) => `load/${name}/${minutes}min`)),
];

test("a new subscriber gets every $SYS topic of mosquitto 2.0, retained", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000 } });
  world.advance(0);
  const client = world.connected("s").subscribes(1, ["$SYS/#", 0]);
  const lines = client.takes().slice(1);
  expect(lines.filter((line) => !line.endsWith(" retain"))).toEqual([]);
  const seen = values(lines);
  expect(names.filter((name) => !seen.has(name))).toEqual([]);
  expect(seen.get("version")).toBe("sansmq test");
  expect(seen.get("uptime")).toBe("0 seconds");
  for (const [name, value] of seen) {
    if (["version", "codec", "uptime"].includes(name)) continue;
    expect([name, value]).toEqual([name, expect.stringMatching(/^\d+(\.\d\d)?$/)]);
  }
});

test("heap is the memory that the host reports, and its maximum the largest report", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000 } });
  const client = world.connected("s").subscribes(1, ["$SYS/broker/heap/#", 0]);
  const heap = (): (string | undefined)[] => {
    const seen = values(client.takes());
    return [seen.get("heap/current"), seen.get("heap/maximum")];
  };
  client.takes();
  for (const [bytes, told] of [
    [5000, ["5000", "5000"]],
    [4000, ["4000", undefined]],
    [6000, ["6000", "6000"]],
  ] as const) {
    world.broker.handleCommand({ kind: "memory", bytes }, world.now);
    world.advance(10_000);
    expect(heap()).toEqual(told);
  }
});

test("without a report of the host, heap is the memory of messages and input", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000 } });
  const publisher = world.connected("p");
  publisher.publishes("a", new Uint8Array(100_000), { retain: true });
  world.advance(10_000);
  const client = world.connected("s").subscribes(1, ["$SYS/broker/heap/current", 0]);
  const bytes = Number(values(client.takes()).get("heap/current"));
  expect(bytes).toBeGreaterThan(100_000);
  expect(bytes).toBeLessThan(400_000);
});

test("counts shared subscriptions by member, apart from other subscriptions", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000 } });
  const a = world.connected("a").subscribes(1, ["x", 0], ["$share/g/x", 0], ["$share/g/y", 0]);
  world.connected("b").send(subscribe(1, ["$share/g/x", 0]), subscribe(2, ["$share/g/x", 1]));
  world.advance(10_000);
  const client = world.connected("s").subscribes(1, ["$SYS/broker/+/count", 0]);
  const counts = (): (string | undefined)[] => {
    const seen = values(client.takes());
    return [seen.get("subscriptions/count"), seen.get("shared_subscriptions/count")];
  };
  expect(counts()).toEqual(["1", "3"]);
  a.cut();
  world.advance(10_000);
  expect(counts()).toEqual([undefined, "1"]);
});

test("dropped messages have their own load average", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000, queuedMessagesMax: 1 } });
  world.connected({ clientId: "r", clean: false }).subscribes(1, ["t", 1]).cut();
  world.advance(10_000);
  const client = world.connected("s").subscribes(1, ["$SYS/broker/load/publish/dropped/+", 0]);
  client.takes();
  const publisher = world.connected("p");
  for (let n = 0; n < 4; n++) publisher.publishes("t", "x", { qos: 1 });
  world.advance(10_000);
  const seen = values(client.takes());
  // 3 in 10 seconds are 18 a minute.
  expect(Number(seen.get("load/publish/dropped/1min"))).toBeCloseTo(18 * (1 - Math.exp(-1 / 6)), 1);
});

test("publishes $SYS topics at their interval if their counters changed", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000 } });
  const client = world.connected("s").subscribes(1, ["$SYS/#", 0]);
  world.advance(9999);
  client.takes();
  client.send(subscribe(2, ["a", 0]), publish("a", "12345"), pingreq);
  world.open().connects({ clientId: "t" });
  client.takes();
  world.advance(1);
  const seen = values(client.takes());
  expect(seen.get("uptime")).toBe("10 seconds");
  expect(seen.get("clients/connected")).toBe("2");
  expect(seen.get("clients/total")).toBe("2");
  expect(seen.get("publish/messages/received")).toBe("1");
  expect(seen.get("publish/bytes/received")).toBe("5");
  expect(seen.get("subscriptions/count")).toBe("2");
  expect(seen.has("version")).toBe(false);
  // 1 PUBLISH in 10 seconds is 6 a minute; the average of one minute has gained 1 - e^(-1/6) of it.
  expect(Number(seen.get("load/publish/received/1min"))).toBeCloseTo(6 * (1 - Math.exp(-1 / 6)), 1);
  expect(Number(seen.get("load/publish/received/15min"))).toBeCloseTo(
    6 * (1 - Math.exp(-1 / 90)),
    1,
  );
});

test("$SYS topics do not expire with the clients' retained messages", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000, retainedMillisMax: 25_000 } });
  world.connected("p").publishes("a", "x", { retain: true });
  world.advance(60_000);
  const client = world.connected("s").subscribes(1, ["$SYS/broker/version", 0], ["a", 0]);
  expect(client.takes()).toEqual([
    "SUBACK #1 0 0",
    'PUBLISH $SYS/broker/version "sansmq test" q0 retain',
  ]);
});

test("with an interval of 0, publishes no $SYS topics", () => {
  const world = new TestBroker({ limits: { sysMillis: 0 } });
  const client = world.connected("s").subscribes(1, ["$SYS/#", 0]);
  world.advance(1_000_000);
  expect(client.takes()).toEqual(["SUBACK #1 0"]);
});
