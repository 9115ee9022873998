// The command under load, killed at any point and started again: no acknowledged message is lost, no
// QoS 2 message is delivered twice, and sessions and retained messages are there.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type MqttClient, Store } from "mqtt";
import { expect, onTestFinished, test } from "vitest";
import { type Running, runSansmq } from "../support/process.ts";
import { Random } from "../support/random.ts";

/** By hand: `SANSMQ_KILLS=10000 npx vitest run test/storage/kill.test.ts`. */
const kills = Number(process.env["SANSMQ_KILLS"] ?? 30);
const seed = Number(process.env["SANSMQ_SEED"] ?? Date.now() % 1e9);
const timeout = 60_000 + kills * 5000;

test(`acknowledged messages survive ${kills} kills (seed ${seed})`, { timeout }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-kill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const random = new Random(seed);
  const received = new Map<string, number>();
  let kept = 0;
  const readerSession = clientSession((topic, payload) => {
    if (topic === "kept") kept = Number(payload);
    else received.set(payload, (received.get(payload) ?? 0) + 1);
  });
  const writerSession = clientSession();
  const acknowledged: Record<1 | 2, Set<string>> = { 1: new Set(), 2: new Set() };
  let [next, retained, retainedAcknowledged] = [0, 0, 0];

  for (let kill = 0; kill < kills; kill++) {
    const broker = start(folder);
    const reader = await connected(broker, "reader", readerSession);
    if (kill === 0) await reader.client.subscribeAsync("load/#", { qos: 2 });
    else expect(reader.isSessionPresent).toBe(true);
    const writer = await connected(broker, "writer", writerSession);
    let isOver = false;
    const publish = async (qos: 1 | 2): Promise<void> => {
      while (!isOver) {
        const payload = `${qos}-${next++}`;
        await writer.client.publishAsync(`load/${qos}`, payload, { qos });
        acknowledged[qos].add(payload);
      }
    };
    const retain = async (): Promise<void> => {
      while (!isOver) {
        const value = ++retained;
        await writer.client.publishAsync("kept", `${value}`, { qos: 1, retain: true });
        retainedAcknowledged = value;
      }
    };
    const work = ([1, 1, 1, 1, 2, 2, 2, 2] as const).map((qos) => publish(qos));
    void Promise.allSettled([...work, retain()]);
    // At any point: this waits for nothing.
    await new Promise((resolve) => setTimeout(resolve, random.below(150)));
    broker.child.kill("SIGKILL");
    isOver = true;
    await broker.finished;
    reader.client.end(true);
    writer.client.end(true);
  }

  const broker = start(folder);
  const reader = await connected(broker, "reader", readerSession);
  const writer = await connected(broker, "writer", writerSession);
  // The messages of one publisher keep their order, so the earlier ones have arrived before these.
  await writer.client.publishAsync("load/1", "last of QoS 1", { qos: 1 });
  await writer.client.publishAsync("load/2", "last of QoS 2", { qos: 2 });
  const waits = { timeout: 20_000 };
  await expect.poll(() => received.has("last of QoS 1"), waits).toBe(true);
  await expect.poll(() => received.has("last of QoS 2"), waits).toBe(true);
  await reader.client.subscribeAsync("kept", { qos: 1 });
  await expect.poll(() => kept, waits).toBeGreaterThan(0);
  reader.client.end(true);
  writer.client.end(true);

  const everything = [...acknowledged[1], ...acknowledged[2]];
  expect(everything.filter((payload) => !received.has(payload))).toEqual([]);
  const twice = [...received].filter(([payload, times]) => payload[0] === "2" && times > 1);
  expect(twice).toEqual([]);
  expect(acknowledged[1].size).toBeGreaterThan(kills);
  expect(acknowledged[2].size).toBeGreaterThan(kills);
  expect(kept).toBeGreaterThanOrEqual(retainedAcknowledged);
});

function start(folder: string): Running {
  return runSansmq("--port", "0", "--no-ws", "--store", folder, "--log-level", "error");
}

/** The state of a session on the client's side, which outlives the connections, and its listener. */
interface ClientSession {
  readonly incomingStore: Store;
  readonly outgoingStore: Store;
  handleMessage(topic: string, payload: string): void;
}

function clientSession(handleMessage: ClientSession["handleMessage"] = () => {}): ClientSession {
  return {
    incomingStore: new Store({ clean: false }),
    outgoingStore: new Store({ clean: false }),
    handleMessage,
  };
}

/** A client of a session that is kept. It does not reconnect by itself. */
async function connected(
  broker: Running,
  clientId: string,
  { incomingStore, outgoingStore, handleMessage }: ClientSession,
): Promise<{ readonly client: MqttClient; readonly isSessionPresent: boolean }> {
  const [, port] = await broker.says(/tcp:\/\/127\.0\.0\.1:(\d+)/);
  const client = connect(`mqtt://127.0.0.1:${port}`, {
    ...{ clientId, clean: false, reconnectPeriod: 0, incomingStore, outgoingStore },
  });
  client.on("error", () => {});
  // Before CONNACK: messages may arrive right behind it.
  client.on("message", (topic, payload) => handleMessage(topic, payload.toString()));
  const isSessionPresent = await new Promise<boolean>((resolve) =>
    client.once("connect", (connack) => resolve(connack.sessionPresent)),
  );
  return { client, isSessionPresent };
}
