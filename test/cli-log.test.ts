/** The command's log lines about peers that are not MQTT clients, and about refused clients. */
import { connect as connectTcp } from "node:net";
import { expect, test } from "vitest";
import { concat, connect, disconnect, pingreq, publish, subscribe } from "./support/packets.ts";
import type { Running } from "./support/process.ts";
import { serving } from "./support/serving.ts";
import { openSocket } from "./support/socket-client.ts";

function start(...args: string[]) {
  return serving("--port", "0", "--no-ws", ...args);
}

function linesOf(broker: Running): Record<string, unknown>[] {
  return broker.stderr
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** All lines so far, up to those of a new client: its connection is logged after earlier events. */
async function linesUntilNow({ broker, tcp }: Awaited<ReturnType<typeof start>>) {
  const client = await openSocket(tcp);
  client.send(connect({ clientId: "the last" }));
  await broker.says(/"clientId":"the last"/);
  return linesOf(broker).filter(
    ({ clientId, message }) => clientId !== "the last" && message !== "serving",
  );
}

/** Connects to the port as health checks and scanners do. */
async function visit(address: string, how: "end" | "reset" | string): Promise<void> {
  const { hostname, port } = new URL(address);
  const socket = connectTcp(Number(port), hostname);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  if (how === "end") socket.end();
  else if (how === "reset") socket.resetAndDestroy();
  else socket.write(how);
  socket.resume();
  await closed;
}

test("a peer that sends no CONNECT is logged without a warning, with what it sent", async () => {
  const run = await start("--max-connect-millis", "1000");
  const visits = {
    end: "closed before CONNECT",
    "GET / HTTP/1.1\r\n\r\n": "sent no CONNECT",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "sent no CONNECT",
  };
  for (const how of Object.keys(visits)) await visit(run.tcp, how);
  await visit(run.tcp, "");
  // Reset before it was accepted: there is no connection to log.
  const isReset = () => linesOf(run.broker).at(-1)!["message"] === "closed before CONNECT";
  do await visit(run.tcp, "reset");
  while (!isReset());
  const lines = await linesUntilNow(run);
  expect(new Set(lines.map(({ message }) => message))).toEqual(
    new Set([...Object.values(visits), "no CONNECT in time"]),
  );
  for (const { level, remote } of lines) {
    expect(level).toBe("INFO");
    expect(remote).toMatch(/^127\.0\.0\.1:\d+$/);
  }
});

test("logs ten connections without CONNECT a minute from one address, and every connection of a client", async () => {
  const run = await start();
  for (let n = 0; n < 30; n++) await visit(run.tcp, "end");
  for (let n = 0; n < 12; n++) {
    const client = await openSocket(run.tcp);
    client.send(concat(connect({ clientId: `c${n}` }), disconnect));
    await client.closed;
  }
  const messages = (await linesUntilNow(run)).map(({ message }) => message);
  const count = (name: string): number => messages.filter((message) => message === name).length;
  expect([count("closed before CONNECT"), count("connected")]).toEqual([10, 12]);
});

test("logs a refused client as a warning", async () => {
  const run = await start("--username", "ada", "--password", "secret", "--log-level", "warn");
  const client = await openSocket(run.tcp);
  client.send(connect({ clientId: "c", username: "ada", password: "wrong" }));
  await client.closed;
  await run.broker.says(/"CONNECT refused"/);
  expect(linesOf(run.broker)).toMatchObject([
    {
      level: "WARN",
      message: "CONNECT refused",
      clientId: "c",
      reason: "bad user name or password",
    },
  ]);
  expect(run.broker.stderr).not.toMatch(/wrong|secret/);
});

test("logs a refused PUBLISH or SUBSCRIBE as a warning with client, topic and reason", async () => {
  const limits = ["--max-subscriptions-per-client", "1", "--max-retained-messages", "1"];
  const run = await start("--log-level", "warn", ...limits, "--sys-millis", "0");
  const client = await openSocket(run.tcp);
  client.send(connect({ clientId: "c" }));
  client.send(concat(subscribe(1, ["a", 0], ["no/#", 0]), publish("$SYS/no", "x")));
  client.send(publish("r", "x", { retain: true }));
  client.send(concat(publish("s", "x", { retain: true }), pingreq));
  await client.takes(3);
  const other = await openSocket(run.tcp);
  other.send(connect({ clientId: "w", will: { topic: "$SYS/will", payload: "x" } }));
  await other.closed;
  await run.broker.says(/"message":"CONNECT refused"/);
  const lines = linesOf(run.broker).map((line) => [
    line["message"],
    line["clientId"],
    line["topic"],
    line["reason"],
  ]);
  expect(lines).toEqual([
    ["subscription refused", "c", "no/#", "quota exceeded"],
    ["publish refused", "c", "$SYS/no", "not authorized"],
    ["message not retained", "c", "s", "quota exceeded"],
    ["will refused", "w", "$SYS/will", "not authorized"],
    ["CONNECT refused", "w", undefined, "not authorized"],
  ]);
  for (const line of linesOf(run.broker)) expect(line).toMatchObject({ level: "WARN" });
});

test("logs ten refusals a minute for each client, and truncates a long topic", async () => {
  const run = await start("--log-level", "warn");
  const loud = await openSocket(run.tcp);
  const topic = `$SYS/${"x".repeat(3000)}`;
  loud.send(connect({ clientId: "loud" }));
  for (let n = 0; n < 50; n++) loud.send(publish(topic, "x"));
  loud.send(pingreq);
  await loud.takes(2);
  const quiet = await openSocket(run.tcp);
  quiet.send(concat(connect({ clientId: "quiet" }), publish("$SYS/no", "x")));
  await run.broker.says(/"clientId":"quiet"/);
  const lines = linesOf(run.broker);
  expect(lines.map(({ clientId }) => clientId)).toEqual([...Array(10).fill("loud"), "quiet"]);
  expect(lines[0]!["topic"]).toBe(`${topic.slice(0, 1000)}… (3005 characters)`);
});

test("a stopping broker logs how many lines were left out", async () => {
  const run = await start();
  for (let n = 0; n < 13; n++) await visit(run.tcp, "end");
  const client = await openSocket(run.tcp);
  client.send(connect({ clientId: "loud" }));
  for (let n = 0; n < 15; n++) client.send(publish("$SYS/no", "x"));
  client.send(pingreq);
  await client.takes(2);
  run.broker.child.kill("SIGTERM");
  expect((await run.broker.finished).code).toBe(0);
  const told = linesOf(run.broker).filter(({ count }) => count !== undefined);
  expect(told).toMatchObject([
    { level: "WARN", message: "log lines about refusals were left out", count: 5 },
    { level: "INFO", message: "log lines about connections were left out", count: 3 },
  ]);
});
