/** The queues of a client in the process: the cost of an entry does not grow with their length. */
import { expect, test } from "vitest";
import { Subscription } from "../../adapters/client/subscription.ts";
import { startLocal as start } from "../support/local.ts";

// If each removal moved all later entries, as Array.shift does, the test would exceed its time.
test("a loop takes 300 000 queued messages in order", async () => {
  const count = 300_000;
  let taken = 0;
  const subscription = new Subscription(["a"], null, {
    ...{ queuedMessagesMax: count, queuedBytesMax: 0 },
    handleConsumed: () => void taken++,
    handleError: () => {},
    unsubscribe: () => Promise.resolve(),
  });
  const message = { payload: new Uint8Array(0), qos: 0, retain: false, dup: false } as const;
  for (let n = 0; n < count; n++) {
    const numbered = { ...message, topic: `${n}`, properties: {} };
    subscription.offer({ message: numbered, packetId: 0, waitingCount: 1, isConsumed: false });
  }
  for (let n = 0; n < count; n++) {
    const { value } = await subscription.next();
    if (value.topic !== `${n}`) throw new Error(`message ${n} is ${value.topic}`);
  }
  expect(taken).toBe(count);
  expect(subscription.dropped).toBe(0);
});

test("disconnect waits for the replies to earlier requests", async () => {
  const broker = start({ authorizePublish: async () => true });
  const reader = await (await broker.connect()).subscribe("a", { qos: 2 });
  const client = await broker.connect();
  const published = ([0, 1, 2] as const).map((qos) => client.publish("a", `${qos}`, { qos }));
  const subscribed = client.subscribe("b");
  const disconnected = client.disconnect();
  // A request after disconnect is too late.
  await expect(client.publish("a", "late")).rejects.toMatchObject({ name: "ClosedError" });
  expect((await Promise.all(published)).map(({ reason }) => reason)).toEqual([0, 0, 0]);
  expect((await subscribed).granted).toEqual([0]);
  await disconnected;
  expect(await client.closed).toEqual({ by: "client", reason: 0, properties: {} });
  for (const qos of [0, 1, 2]) expect((await reader.next()).value.qos).toBe(qos);
});

test("disconnect waits for a reply only for a bounded time", async () => {
  const broker = start({ authorizePublish: () => new Promise(() => {}) });
  const client = await broker.connect();
  const published = client.publish("a", "x", { qos: 1 });
  const lost = expect(published).rejects.toMatchObject({ name: "ClosedError" });
  await client.disconnect();
  await lost;
});

test.each([
  ["abort", { by: "client", reason: 0x80 }],
  ["kick", { by: "broker", reason: 0x98 }],
])("a disconnect that waits ends with the connection: %s", async (how, end) => {
  let publishes!: () => void;
  const isAsked = new Promise<void>((resolve) => {
    publishes = resolve;
  });
  const broker = start({
    authorizePublish: () => {
      publishes();
      return new Promise(() => {});
    },
  });
  const client = await broker.connect({ clientId: "c" });
  client.publish("a", "x", { qos: 1 }).catch(() => {});
  await isAsked;
  const disconnected = client.disconnect();
  if (how === "abort") void client.abort();
  else broker.disconnect("c");
  await disconnected;
  // A longer wait would have ended regularly.
  expect(await client.closed).toMatchObject(end);
});
