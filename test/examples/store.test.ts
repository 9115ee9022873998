/** The store of docs/durability.md: it passes the suite for stores in every test framework, and a broker keeps its state in it. */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { type LocalBroker, openLocalBroker } from "../../adapters/local/mod.ts";
import type { Store } from "../../adapters/storage/store.ts";
import { needs } from "../support/needs.ts";
import { run } from "../support/process.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = join(root, "docs/examples/store");
const vitest = join(root, "node_modules/vitest/vitest.mjs");
const bun = join(root, "node_modules/.bin/bun");

const frameworks = {
  "node:test": [[], [process.execPath, "--test", `${example}/node.test.mjs`], /pass 12\n/],
  Vitest: [[], [process.execPath, vitest, "run", "--root", example], /14 passed/],
  "bun test": [
    ["Bun"],
    [bun, "test", `${example}/node.test.mjs`, "--timeout", "60000"],
    / 12 pass\n/,
  ],
} as const;

for (const [name, [peers, command, passes]] of Object.entries(frameworks)) {
  const options = { ...needs(...peers), timeout: 120_000 };
  test(`the store of the documentation passes the suite with ${name}`, options, async () => {
    // The variables by which a test framework tells its own processes.
    const without = ["VITEST", "NODE_TEST_CONTEXT", "TEST"].flatMap((variable) => ["-u", variable]);
    const { code, stdout, stderr } = await run("env", ...without, ...command).finished;
    expect([code, stdout + stderr]).toEqual([0, expect.stringMatching(passes)]);
  });
}

test("a broker has its retained messages in the store of the documentation again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-log-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { openLogStore } = (await import(`${example}/log-store.mjs`)) as {
    openLogStore(path: string): Promise<Store>;
  };
  const opened = async (): Promise<LocalBroker> =>
    openLocalBroker({ store: await openLogStore(join(folder, "log")) });
  const broker = await opened();
  const client = await broker.connect();
  await client.publish("door", "open", { qos: 1, retain: true });
  await broker.close();
  // The beginning of a batch whose commit a crash ended.
  appendFileSync(join(folder, "log"), Buffer.alloc(40, 1));
  const again = await opened();
  const subscription = await (await again.connect()).subscribe("door");
  const { value } = await subscription.next();
  expect([value!.topic, Buffer.from(value!.payload).toString()]).toEqual(["door", "open"]);
  await again.close();
});
