// A queue that memory does not hold, in a store in a folder: it is delivered whole and in order, also after a kill.
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  concat,
  connect,
  disconnect,
  idIn,
  payloadIn,
  puback,
  publish,
  split,
  subscribe,
  describe as words,
} from "../support/packets.ts";
import { type Running, runSansmq } from "../support/process.ts";

/** By hand: `npm run paging`, with a million messages. */
const COUNT = 8000;
const TOPIC = `t/${"x".repeat(1000)}`;

test("a queue larger than the memory for messages survives a kill", {
  timeout: 60_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-paging-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  let broker = start(folder);
  const away = await client(broker, connect({ clientId: "away", clean: false }));
  away.send(subscribe(1, ["t/#", 1]));
  await away.takes("SUBACK", 1);
  await away.ends();
  await publishMany(broker, 0, COUNT);
  broker.child.kill("SIGKILL");
  await broker.finished;

  broker = start(folder);
  // A message that is queued behind those in the store.
  await publishMany(broker, COUNT, 1);
  const reader = await client(broker, connect({ clientId: "away", clean: false }));
  const lines = await reader.takes("PUBLISH", COUNT + 1);
  expect(lines.map(payloadIn)).toEqual(Array.from({ length: COUNT + 1 }, (_, n) => `${n}`));
  await reader.ends();
  broker.child.kill("SIGTERM");
  expect(await broker.finished).toMatchObject({ code: 0, stderr: "" });
});

/** Memory for 1 MiB of messages, of 8 MiB that are queued. */
function start(folder: string): Running {
  return runSansmq(
    ...["--port", "0", "--no-ws", "--store", folder, "--log-level", "error"],
    ...["--max-message-bytes", "1048576", "--max-queued-bytes-in-memory", "100000"],
  );
}

async function publishMany(broker: Running, first: number, count: number): Promise<void> {
  const writer = await client(broker, connect({ clientId: "writer" }));
  for (let n = first; n < first + count; n += 200) {
    const batch = Math.min(200, first + count - n);
    const packets = Array.from({ length: batch }, (_, i) =>
      publish(TOPIC, `${n + i}`, { qos: 1, id: i + 1 }),
    );
    writer.send(...packets);
    await writer.takes("PUBACK", batch);
  }
  await writer.ends();
}

/** A client on a socket, which acknowledges each message; resolves when it is connected. */
async function client(broker: Running, connectPacket: Uint8Array) {
  const [, port] = await broker.says(/tcp:\/\/127\.0\.0\.1:(\d+)/);
  const socket = connectSocket(Number(port), "127.0.0.1");
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  let stream: Uint8Array = new Uint8Array(0);
  const waiting: string[] = [];
  let wake = (): void => {};
  socket.on("data", (chunk: Uint8Array) => {
    const { packets, rest } = split(concat(stream, chunk));
    stream = rest.slice();
    const lines = packets.map((packet) => words(packet));
    const acks = lines
      .filter((line) => line.startsWith("PUBLISH"))
      .map((line) => puback(idIn(line)));
    if (acks.length > 0) socket.write(concat(...acks));
    waiting.push(...lines);
    wake();
  });
  const opened = {
    send: (...packets: readonly Uint8Array[]): void => void socket.write(concat(...packets)),
    /** The next `count` packets, all of which are of a type. */
    async takes(type: string, count: number): Promise<string[]> {
      while (waiting.length < count) await new Promise<void>((resolve) => (wake = resolve));
      const lines = waiting.splice(0, count);
      expect(lines.filter((line) => !line.startsWith(type))).toEqual([]);
      return lines;
    },
    async ends(): Promise<void> {
      socket.end(disconnect);
      await closed;
    },
  };
  opened.send(connectPacket);
  await opened.takes("CONNACK", 1);
  return opened;
}
