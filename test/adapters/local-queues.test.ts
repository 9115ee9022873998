/** What a client in the process has under way: it costs the same however much that is, and is not lost at its end. */
import { expect, onTestFinished, test } from "vitest";
import { createLocalBroker, type LocalBroker } from "../../adapters/local/mod.ts";
import { codecKind } from "../support/codecs.ts";

type Options = Parameters<typeof createLocalBroker>[0];

function start(options: Options = {}): LocalBroker {
  const broker = createLocalBroker({ codec: codecKind, ...options });
  onTestFinished(() => broker.close(100));
  return broker;
}

test("a loop takes a long queue in a time that grows as the queue does", async () => {
  const broker = start();
  const queued = { queuedMessagesMax: 1e9, queuedBytesMax: 1e9 };
  const client = await broker.connect(queued);
  const count = 150_000;
  const loop = await client.subscribe("a");
  for (let n = 0; n < count; n++) broker.publish("a", `${n}`);
  // Behind all of them.
  await (await broker.connect()).publish("a", "last", { qos: 1 });
  await expect.poll(() => broker.counters.publishesSent, { timeout: 10_000 }).toBe(count + 1);
  const started = performance.now();
  for (let n = 0; n < count; n++) {
    const { value } = await loop.next();
    if (n % 10_000 === 0) expect(new TextDecoder().decode(value.payload)).toBe(`${n}`);
  }
  expect(performance.now() - started).toBeLessThan(3000);
});
