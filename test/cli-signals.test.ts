/** How a signal ends the command. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { concat, connect, publish, subscribe } from "./support/packets.ts";
import { type Running, run } from "./support/process.ts";
import { serving } from "./support/serving.ts";
import { openSocket } from "./support/socket-client.ts";

const quiet = ["--port", "0", "--no-ws", "--log-level", "silent"] as const;

test.each(["SIGINT", "SIGTERM"] as const)(
  "%s sends pending messages and exits 0",
  async (signal) => {
    const { broker, tcp } = await serving(...quiet);
    const client = await openSocket(tcp);
    client.send(concat(connect(), subscribe(1, ["a", 1]), publish("a", "last", { qos: 1 })));
    await client.takes(3);
    const started = performance.now();
    broker.child.kill(signal);
    expect((await broker.finished).code).toBe(0);
    expect(performance.now() - started).toBeLessThan(2000);
    await client.closed;
    expect(client.waiting).toEqual(['PUBLISH a "last" q1 #1']);
  },
);

/** Gives a client that stops reading more messages than its socket holds. */
async function stallClient(tcp: string): Promise<void> {
  const [reader, publisher] = [await openSocket(tcp), await openSocket(tcp)];
  reader.send(concat(connect({ clientId: "r" }), subscribe(1, ["a", 0])));
  await reader.takes(2);
  reader.pause();
  publisher.send(connect({ clientId: "p" }));
  for (let n = 0; n < 30; n++) publisher.send(publish("a", new Uint8Array(1_000_000)));
  publisher.send(publish("b", "", { qos: 1 }));
  await publisher.takes(2);
}

test("stops within two seconds though a client takes no bytes", async () => {
  const { broker, tcp } = await serving(...quiet);
  await stallClient(tcp);
  const started = performance.now();
  broker.child.kill("SIGINT");
  expect((await broker.finished).code).toBe(0);
  expect(performance.now() - started).toBeLessThan(2000);
});

test("a second signal exits at once", async () => {
  const { broker, tcp } = await serving("--port", "0", "--no-ws");
  await stallClient(tcp);
  broker.child.kill("SIGINT");
  await broker.says(/"message":"stopping"/);
  broker.child.kill("SIGINT");
  expect((await broker.finished).code).toBe(130);
});

/** Expects that SIGTERM to the process that started the broker ends the broker, which logs it, and then that process. */
async function endsByTerm(started: Running): Promise<void> {
  await started.says(/^sansmq listening /m);
  started.child.kill("SIGTERM");
  const { code, stderr } = await started.finished;
  expect(stderr).toContain('"message":"stopped"');
  expect(code).toBe(0);
}

test("npm start forwards SIGTERM", async () => {
  await endsByTerm(run("npm", "start", "--", "--port", "0", "--no-ws"));
});

test("npx forwards SIGTERM if its shell is replaced, as the documentation says", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "node_modules/.bin"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"name": "started", "version": "1.0.0"}');
  const command = fileURLToPath(new URL("../dist/adapters/cli/main.js", import.meta.url));
  symlinkSync(command, join(folder, "node_modules/.bin/sansmq"));
  const line = "npx -c 'exec sansmq --port 0 --no-ws'";
  await endsByTerm(run("sh", "-c", `cd "${folder}" && exec ${line}`));
});
