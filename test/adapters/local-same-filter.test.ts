/** Several subscriptions of a client in the process with the same filter. MQTT has one subscription for all of them. */
import { expect, test } from "vitest";
import type { LocalMessage, Subscription } from "../../adapters/local/mod.ts";
import { startLocal as start, words } from "../support/local.ts";

const next = async (subscription: Subscription): Promise<string> =>
  words((await subscription.next()).value as LocalMessage);

test("a later subscription with a lower QoS does not lower the QoS, and one with a higher QoS raises it for all", async () => {
  const broker = start();
  const client = await broker.connect();
  const one = await client.subscribe("a", { qos: 1 });
  const two = await client.subscribe(["b", "a"], { qos: 0 });
  expect([one.granted, two.granted]).toEqual([[1], [0, 1]]);
  await client.publish("a", "1", { qos: 2 });
  expect([await next(one), await next(two)]).toEqual(["a 1 q1", "a 1 q1"]);
  const three = await client.subscribe("a", { qos: 2 });
  expect([one.granted, two.granted, three.granted]).toEqual([[2], [0, 2], [2]]);
  await client.publish("a", "2", { qos: 2 });
  for (const each of [one, two, three]) expect(await next(each)).toBe("a 2 q2");
  expect(broker.counters.subscriptions).toBe(2);
});

test("leaves out the client's own messages if every subscription has No Local", async () => {
  const client = await start().connect();
  const one = await client.subscribe("a");
  const two = await client.subscribe("a", { noLocal: true, retainAsPublished: true });
  await client.publish("a", "own", { retain: true });
  expect([await next(one), await next(two)]).toEqual(["a own q0 retain", "a own q0 retain"]);
  const alone = await client.subscribe("b", { noLocal: true });
  await client.subscribe("b", { noLocal: true }, () => {});
  await client.publish("b", "own", { qos: 1 });
  await client.publish("a", "behind it", { qos: 1 });
  await next(one);
  await alone.unsubscribe();
  expect((await alone.next()).done).toBe(true);
});

test("a refused subscription does not change the others", async () => {
  const broker = start({ authorizeSubscribe: (_, __, qos) => qos < 2 });
  const client = await broker.connect();
  const one = await client.subscribe("a", { qos: 1 });
  await expect(client.subscribe("a", { qos: 2 })).rejects.toMatchObject({ name: "RefusedError" });
  const two = await client.subscribe("a");
  expect([one.granted, two.granted]).toEqual([[1], [1]]);
  await client.publish("a", "x", { qos: 1 });
  expect([await next(one), await next(two)]).toEqual(["a x q1", "a x q1"]);
});

test("retained messages go only to the subscription that requested them", async () => {
  const broker = start();
  const client = await broker.connect();
  await client.publish("a", "kept", { retain: true, qos: 1 });
  const one = await client.subscribe("a");
  expect(await next(one)).toBe("a kept q0 retain");
  const two = await client.subscribe("a");
  expect(await next(two)).toBe("a kept q0 retain");
  const three = await client.subscribe("a", { retainHandling: 1 });
  const four = await client.subscribe("a", { retainHandling: 2 });
  broker.publish("a", "new");
  for (const each of [one, two, three, four]) expect(await next(each)).toBe("a new q0");
});

test("a message with RETAIN goes to all subscriptions, also to those that still await their retained messages", async () => {
  const broker = start();
  const client = await broker.connect();
  const topics = Array.from({ length: 300 }, (_, n) => `r/${n}`);
  for (const topic of topics) broker.publish(topic, "kept", { retain: true });
  const options = { retainAsPublished: true, qos: 1 } as const;
  const one = client.subscribe("r/#", options);
  const two = client.subscribe(["r/#", "other"], options);
  const three = client.subscribe("r/#", { ...options, retainHandling: 2 });
  const all = await Promise.all([one, two, three]);
  for (const topic of topics) broker.publish(topic, "live", { retain: true, qos: 1 });
  broker.publish("r/last", "", { qos: 1 });
  const came = await Promise.all(all.map((each) => until(each, "r/last")));
  const kept = topics.map((topic) => `${topic} kept q0 retain`);
  const live = topics.map((topic) => `${topic} live q1 retain`);
  const sorted = (lines: readonly string[]): string[] => lines.toSorted();
  expect(sorted(came[0]!)).toEqual(sorted([...kept, ...live]));
  expect(sorted(came[1]!)).toEqual(sorted([...kept, ...live]));
  expect(came[2]).toEqual(live);
});

test("overlapping filters receive the retained messages that each requested, and no others", async () => {
  const broker = start();
  const client = await broker.connect();
  broker.publish("a/b", "kept", { retain: true });
  const wide = await client.subscribe("a/#", { subscriptionIdentifier: 7 });
  expect(await next(wide)).toBe("a/b kept q0 retain");
  const narrow = await client.subscribe("a/b");
  const again = await client.subscribe("a/#", { subscriptionIdentifier: 9 });
  const both = await client.subscribe(["a/b", "a/#"]);
  expect(await next(narrow)).toBe("a/b kept q0 retain");
  const { value } = await again.next();
  expect(words(value as LocalMessage)).toBe("a/b kept q0 retain");
  expect((value as LocalMessage).properties.SubscriptionIdentifier).toBe(9);
  expect([await next(both), await next(both)]).toEqual(Array(2).fill("a/b kept q0 retain"));
  broker.publish("a/b", "new");
  for (const each of [wide, narrow, again, both]) expect(await next(each)).toBe("a/b new q0");
});

test("retained messages for an ended subscription are dropped, and a new one receives its own", async () => {
  const broker = start();
  const client = await broker.connect();
  const left: string[] = [];
  client.onMessage((message) => void left.push(message.topic));
  await client.publish("a", "kept", { retain: true, qos: 1 });
  const one = await client.subscribe("a");
  expect(await next(one)).toBe("a kept q0 retain");
  for (let n = 0; n < 5; n++) {
    const two = await client.subscribe("a", { qos: 1 });
    expect(await next(two)).toBe("a kept q1 retain");
    await two.unsubscribe();
  }
  const three = client.subscribe("a");
  void client.subscribe("a").then((four) => four.unsubscribe());
  expect(await next(await three)).toBe("a kept q0 retain");
  await client.publish("a", "new", { qos: 1 });
  expect(await next(one)).toBe("a new q0");
  expect(left).toEqual([]);
});

/** The messages before a message of `topic`. */
async function until(subscription: Subscription, topic: string): Promise<string[]> {
  const lines: string[] = [];
  for (;;) {
    const { value } = await subscription.next();
    if ((value as LocalMessage).topic === topic) return lines;
    lines.push(words(value as LocalMessage));
  }
}
