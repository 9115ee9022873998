/** Retain As Published, No Local, and overlapping subscriptions. */
import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";

test("overlapping subscriptions keep the RETAIN flag if one of them has Retain As Published", () => {
  const world = new TestBroker();
  const RAP = 0b1000;
  const client = world.connected({ level: 5 });
  client.subscribes(1, ["a/b", 0], ["a/+", RAP], ["a/#", 0]);
  client.takes();
  const publisher = world.connected("p");
  publisher.publishes("a/b", "x", { retain: true });
  expect(client.takes()).toEqual(['PUBLISH a/b "x" q0 retain']);
});

test("[MQTT-3.8.3-3] [MQTT-3.8.4-3] a publisher receives its own message by the subscription options it gave last", () => {
  const NO_LOCAL = 0b100;
  const client = new TestBroker().connected({ level: 5 });
  client.subscribes(1, ["#", NO_LOCAL]);
  for (const [options, expected] of [
    [0, ['PUBLISH t "" q0']],
    [1, ['PUBLISH t "" q1 #1']],
    [NO_LOCAL, []],
    [0, ['PUBLISH t "" q0']],
  ] as const) {
    client.subscribes(2, ["t", options]).takes();
    client.publishes("t", "", { qos: 1, id: 3 });
    const delivered = client.takes().filter((line) => line.startsWith("PUBLISH"));
    expect(delivered).toEqual(expected);
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
    const client = world.connected({ level: 5 });
    for (const [filter, options, id] of order) {
      const props = id === 0 ? {} : { SubscriptionIdentifier: id };
      client.subscribes(1, [filter, options], props);
    }
    client.publishes("a/b", "", { qos: 2, id: 1 });
    const other = world.connected("other").publishes("a/b", "", { qos: 2, id: 1 });
    other.takes();
    const delivered = client.takes().filter((line) => line.startsWith("PUBLISH"));
    expect(delivered.map(withIdentifiersInOrder)).toEqual([
      'PUBLISH a/b "" q1 #1 SubscriptionIdentifier=2,4',
      'PUBLISH a/b "" q2 #2 SubscriptionIdentifier=1,2,3,4',
    ]);
    expect(world.count("messages")).toBe(2);
  }
});

function withIdentifiersInOrder(line: string): string {
  return line.replace(/(?<==)[\d,]+$/, (identifiers) => identifiers.split(",").sort().join());
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, n) =>
    permutations(items.toSpliced(n, 1)).map((rest) => [item, ...rest]),
  );
}
