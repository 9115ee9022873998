/** Several subscriptions of one client with the same filter, of which MQTT has one: none takes from another. */
import { expect, test } from "vitest";
import type { LocalMessage, Subscription } from "../../adapters/local/mod.ts";
import { startLocal as start, words } from "../support/local.ts";

const next = async (subscription: Subscription): Promise<string> =>
  words((await subscription.next()).value as LocalMessage);

test("a later one that asks for less lowers nothing, one that asks for more raises all", async () => {
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

test("what a client publishes itself is left out where all ask for that", async () => {
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

test("one that is refused leaves the others as they are", async () => {
  const broker = start({ authorizeSubscribe: (_, __, qos) => qos < 2 });
  const client = await broker.connect();
  const one = await client.subscribe("a", { qos: 1 });
  await expect(client.subscribe("a", { qos: 2 })).rejects.toMatchObject({ name: "RefusedError" });
  const two = await client.subscribe("a");
  expect([one.granted, two.granted]).toEqual([[1], [1]]);
  await client.publish("a", "x", { qos: 1 });
  expect([await next(one), await next(two)]).toEqual(["a x q1", "a x q1"]);
});

test("retained messages come to all when a later one asks for them, and to none when it does not", async () => {
  const broker = start();
  const client = await broker.connect();
  await client.publish("a", "kept", { retain: true, qos: 1 });
  const one = await client.subscribe("a");
  expect(await next(one)).toBe("a kept q0 retain");
  const two = await client.subscribe("a");
  expect([await next(one), await next(two)]).toEqual(["a kept q0 retain", "a kept q0 retain"]);
  const three = await client.subscribe("a", { retainHandling: 1 });
  broker.publish("a", "new");
  for (const each of [one, two, three]) expect(await next(each)).toBe("a new q0");
});
