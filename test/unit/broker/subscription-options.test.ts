/** Retain As Published, No Local, and overlapping subscriptions. */
import { expect, test } from "vitest";
import * as wire from "../../conformance/wire.ts";
import { TestBroker } from "../../support/broker.ts";
import { Mqtt5Client } from "../../support/mqtt5-client.ts";

test("overlapping subscriptions keep the RETAIN flag if one of them has Retain As Published", () => {
  const world = new TestBroker();
  const RAP = 0b1000;
  const client = new Mqtt5Client(world);
  client.send(
    wire.subscribe(5, 1, [
      ["a/b", 0],
      ["a/+", RAP],
      ["a/#", 0],
    ]),
  );
  client.takes();
  const publisher = world.connected("p");
  publisher.send(wire.publish(4, { topic: "a/b", payload: "x", retain: true }));
  expect(client.takes().map(({ retain }) => retain)).toEqual([true]);
});

test("[MQTT-3.8.3-3] [MQTT-3.8.4-3] a publisher receives its own message by the subscription options it gave last", () => {
  const NO_LOCAL = 0b100;
  const client = new Mqtt5Client(new TestBroker());
  client.send(wire.subscribe(5, 1, [["#", NO_LOCAL]]));
  for (const [options, expected] of [
    [0, [0]],
    [1, [1]],
    [NO_LOCAL, []],
    [0, [0]],
  ] as const) {
    client.send(wire.subscribe(5, 2, [["t", options]])).takes();
    client.send(wire.publish(5, { topic: "t", qos: 1, id: 3 }));
    const came = client.takes().filter(({ type }) => type === "PUBLISH");
    expect(came.map(({ qos }) => qos)).toEqual(expected);
  }
});

test("[MQTT-3.8.3-3] a publisher receives its own message by its subscriptions without No Local, in whatever order they were made", () => {
  const NO_LOCAL = 0b100;
  const subscriptions: readonly (readonly [filter: string, options: number, id: number])[] = [
    ["a/b", 0 | NO_LOCAL, 1],
    ["a/+", 1, 2],
    ["a/#", 2 | NO_LOCAL, 3],
    ["#", 0, 4],
    ["+/b", 0, 0],
  ];
  for (const order of permutations(subscriptions)) {
    const world = new TestBroker();
    const client = new Mqtt5Client(world);
    for (const [filter, options, id] of order) {
      const props = id === 0 ? {} : { SubscriptionIdentifier: id };
      client.send(wire.subscribe(5, 1, [[filter, options]], props));
    }
    client.send(wire.publish(5, { topic: "a/b", qos: 2, id: 1 }));
    const other = world.connected("other").send(wire.publish(4, { topic: "a/b", qos: 2, id: 1 }));
    other.takes();
    const delivered = client.takes().filter(({ type }) => type === "PUBLISH");
    expect(
      delivered.map(({ qos, props }) => [qos, [props["SubscriptionIdentifier"]].flat().sort()]),
    ).toEqual([
      [1, [2, 4]],
      [2, [1, 2, 3, 4]],
    ]);
    expect(world.count("messages")).toBe(2);
  }
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, n) =>
    permutations(items.toSpliced(n, 1)).map((rest) => [item, ...rest]),
  );
}
