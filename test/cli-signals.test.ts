/** How the command ends by a signal. */
import { expect, test } from "vitest";
import { concat, connect, publish, subscribe } from "./support/packets.ts";
import { runSansmq } from "./support/process.ts";
import { openSocket } from "./support/socket-client.ts";

const quiet = ["--port", "0", "--no-ws", "--log-level", "silent"] as const;

async function serving(...args: string[]) {
  const broker = runSansmq(...args);
  const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+)/);
  return { broker, tcp: tcp! };
}

test.each(["SIGINT", "SIGTERM"] as const)("%s sends what is owed and exits 0", async (signal) => {
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
});

test("it stops within two seconds though a client takes nothing", async () => {
  const { broker, tcp } = await serving(...quiet);
  const [reader, publisher] = [await openSocket(tcp), await openSocket(tcp)];
  reader.send(concat(connect({ clientId: "r" }), subscribe(1, ["a", 0])));
  await reader.takes(2);
  reader.pause();
  publisher.send(connect({ clientId: "p" }));
  for (let n = 0; n < 30; n++) publisher.send(publish("a", new Uint8Array(1_000_000)));
  publisher.send(publish("b", "", { qos: 1 }));
  await publisher.takes(2);
  const started = performance.now();
  broker.child.kill("SIGINT");
  expect((await broker.finished).code).toBe(0);
  expect(performance.now() - started).toBeLessThan(2000);
});

test("a second signal exits at once", async () => {
  const { broker, tcp } = await serving("--port", "0", "--no-ws");
  const [reader, publisher] = [await openSocket(tcp), await openSocket(tcp)];
  reader.send(concat(connect({ clientId: "r" }), subscribe(1, ["a", 0])));
  await reader.takes(2);
  reader.pause();
  publisher.send(connect({ clientId: "p" }));
  for (let n = 0; n < 30; n++) publisher.send(publish("a", new Uint8Array(1_000_000)));
  publisher.send(publish("b", "", { qos: 1 }));
  await publisher.takes(2);
  broker.child.kill("SIGINT");
  await broker.says(/"message":"stopping"/);
  broker.child.kill("SIGINT");
  expect((await broker.finished).code).toBe(130);
});
