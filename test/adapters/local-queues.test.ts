/** What a client in the process has under way: it costs the same however much that is, and is not lost at its end. */
import { expect, test } from "vitest";
import { startLocal as start } from "../support/local.ts";

test("a loop takes a long queue in a time that grows as the queue does", async () => {
  const broker = start();
  const queued = { queuedMessagesMax: 1e9, queuedBytesMax: 1e9 };
  const client = await broker.connect(queued);
  const count = 80_000;
  const loop = await client.subscribe("a");
  for (let n = 0; n < count; n++) broker.publish("a", `${n}`);
  // Behind all of them.
  await (await broker.connect()).publish("a", "last", { qos: 1 });
  await expect.poll(() => broker.counters.publishesSent, { timeout: 50_000 }).toBe(count + 1);
  const started = performance.now();
  for (let n = 0; n < count; n++) {
    const { value } = await loop.next();
    if (n % 10_000 === 0) expect(new TextDecoder().decode(value.payload)).toBe(`${n}`);
  }
  expect(performance.now() - started).toBeLessThan(2000);
}, 60_000);

test("disconnect lets what was asked before be answered", async () => {
  const broker = start({ authorizePublish: async () => true });
  const reader = await (await broker.connect()).subscribe("a", { qos: 2 });
  const client = await broker.connect();
  const published = ([0, 1, 2] as const).map((qos) => client.publish("a", `${qos}`, { qos }));
  const subscribed = client.subscribe("b");
  const disconnected = client.disconnect();
  // What is asked now comes too late.
  await expect(client.publish("a", "late")).rejects.toMatchObject({ name: "ClosedError" });
  expect((await Promise.all(published)).map(({ reason }) => reason)).toEqual([0, 0, 0]);
  expect((await subscribed).granted).toEqual([0]);
  await disconnected;
  expect(await client.closed).toEqual({ by: "client", reason: 0, properties: {} });
  for (const qos of [0, 1, 2]) expect((await reader.next()).value.qos).toBe(qos);
});

test("disconnect does not wait for ever for an answer", async () => {
  const broker = start({ authorizePublish: () => new Promise(() => {}) });
  const client = await broker.connect();
  const published = client.publish("a", "x", { qos: 1 });
  const lost = expect(published).rejects.toMatchObject({ name: "ClosedError" });
  const started = performance.now();
  await client.disconnect();
  expect(performance.now() - started).toBeLessThan(3000);
  await lost;
});

test.each(["abort", "kick"])(
  "a disconnect that waits ends with the connection: %s",
  async (how) => {
    const broker = start({ authorizePublish: () => new Promise(() => {}) });
    const client = await broker.connect({ clientId: "c" });
    client.publish("a", "x", { qos: 1 }).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 20));
    const started = performance.now();
    const disconnected = client.disconnect();
    if (how === "abort") void client.abort();
    else broker.disconnect("c");
    await disconnected;
    expect(performance.now() - started).toBeLessThan(500);
    expect((await client.closed).by).toBe(how === "abort" ? "client" : "broker");
  },
);
