import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { connect, pingreq, publish, subscribe } from "../../support/packets.ts";

/** The $SYS topics that a client sees, as topic → value. */
function values(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line) => {
      const found = /^PUBLISH \$SYS\/broker\/(.+) "(.*)" q0/.exec(line);
      return found === null ? [] : [[found[1]!, found[2]!] as const];
    }),
  );
}

test("$SYS topics are retained, by the names that mosquitto's users know", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000 } });
  world.advance(0);
  const client = world.connected("s").send(subscribe(1, ["$SYS/#", 0]));
  const seen = values(client.takes());
  expect(seen.get("version")).toBe("sansmq test");
  expect(seen.get("uptime")).toBe("0 seconds");
  const names = [
    "clients/connected",
    "clients/total",
    "clients/disconnected",
    "clients/maximum",
    "messages/received",
    "messages/sent",
    "publish/messages/received",
    "publish/messages/sent",
    "publish/messages/dropped",
    "bytes/received",
    "bytes/sent",
    "subscriptions/count",
    "retained messages/count",
  ];
  for (const name of names) expect(seen.get(name)).toMatch(/^\d+$/);
});

test("they are published at their interval, when they changed, from the counters", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000 } });
  const client = world.connected("s").send(subscribe(1, ["$SYS/#", 0]));
  world.advance(9999);
  client.takes();
  client.send(subscribe(2, ["a", 0]), publish("a", "12345"), pingreq);
  world.open().send(connect({ clientId: "t" }));
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

test("what it says does not expire with what clients retain", () => {
  const world = new TestBroker({ limits: { sysMillis: 10_000, retainedMillisMax: 25_000 } });
  world.connected("p").send(publish("a", "x", { retain: true }));
  world.advance(60_000);
  const client = world.connected("s").send(subscribe(1, ["$SYS/broker/version", 0], ["a", 0]));
  expect(client.takes()).toEqual([
    "SUBACK #1 0 0",
    'PUBLISH $SYS/broker/version "sansmq test" q0 retain',
  ]);
});

test("an interval of 0 publishes none", () => {
  const world = new TestBroker({ limits: { sysMillis: 0 } });
  const client = world.connected("s").send(subscribe(1, ["$SYS/#", 0]));
  world.advance(1_000_000);
  expect(client.takes()).toEqual(["SUBACK #1 0"]);
});
