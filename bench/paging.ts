/**
 * A queue larger than memory: `npm run paging -- --messages 1000000`. Messages are published for a
 * client that is not connected, the broker is killed and started again in every second round, and
 * the client takes them. Exit code 1 if a message is lost, repeated or out of order.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { connectPacket, open, publishPacket, subscribePacket } from "./lib/client.ts";
import { cpuSeconds, lineOf, startPinned, stop } from "./lib/process.ts";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "1000000" },
    bytes: { type: "string", default: "1024" },
    /** Maximum memory for messages, in MiB. */
    memory: { type: "string", default: "64" },
    /** The part of it for the bytes of queued messages. */
    budget: { type: "string", default: "16" },
    inflight: { type: "string", default: "1000" },
    folder: { type: "string", default: tmpdir() },
  },
});
const count = Number(values.messages);
const payload = new Uint8Array(Number(values.bytes));
const MiB = 1024 * 1024;

async function main(): Promise<void> {
  for (const isKilled of [false, true]) {
    process.stdout.write(isKilled ? "\nkilled between publishing and delivery\n" : "no restart\n");
    const folder = mkdtempSync(join(values.folder, "sansmq-paging-"));
    try {
      await round(folder, isKilled);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}

async function round(folder: string, isKilled: boolean): Promise<void> {
  let broker = await start(folder);
  await session(broker.port);
  const published = await during(broker.pid, () => publishAll(broker.port));
  report("published", published);
  if (isKilled) {
    await stop(broker.child);
    const began = performance.now();
    broker = await start(folder);
    const seconds = (performance.now() - began) / 1000;
    const cpu = cpuSeconds(broker.pid);
    report("recovered", { seconds, cpu, memory: memoryOf(broker.pid) });
  }
  const delivered = await during(broker.pid, () => takeAll(broker.port));
  report("delivered", delivered);
  await stop(broker.child);
}

async function start(folder: string) {
  const command = fileURLToPath(new URL("../adapters/cli/main.js", import.meta.url));
  const flags = [
    ...["--port", "0", "--no-ws", "--log-level", "error", "--store", folder],
    ...["--max-message-bytes", `${Number(values.memory) * MiB}`],
    ...["--max-queued-bytes-in-memory", `${Number(values.budget) * MiB}`],
    ...["--max-queued-messages", "10000000", "--max-queued-bytes", `${2 ** 40}`],
    ...["--max-inflight", values.inflight],
  ];
  const child = startPinned([process.execPath, command, ...flags], null);
  const [, port] = await lineOf(child, /listening tcp:\/\/127\.0\.0\.1:(\d+)/);
  return { child, port: Number(port), pid: child.pid! };
}

/** Makes the kept session, whose client is gone then. */
function session(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = open(port, (bytes) => {
      if (bytes[0] === 0x20) socket.write(subscribePacket("queue", 1));
      else socket.end(Buffer.from([0xe0, 0]));
    });
    socket.on("close", () => resolve());
    socket.write(connectPacket("away", false));
  });
}

/** Publishes all messages at QoS 1; resolves when all are acknowledged, that is stored. */
function publishAll(port: number): Promise<void> {
  return new Promise((resolve) => {
    const view = new DataView(payload.buffer);
    let sent = 0;
    let acknowledged = 0;
    let received = 0;
    const send = (): void => {
      const packets: Buffer[] = [];
      for (; sent < count && sent - acknowledged < WINDOW; sent++) {
        view.setUint32(0, sent);
        packets.push(publishPacket("queue", payload, 1, (sent % 65_535) + 1));
      }
      if (packets.length > 0) socket.write(Buffer.concat(packets));
    };
    const socket = open(port, (_, byteCount) => {
      // CONNACK and each PUBACK have four bytes.
      received += byteCount;
      acknowledged = Math.max(0, (received >> 2) - 1);
      if (acknowledged === count) socket.end(Buffer.from([0xe0, 0]));
      else if (sent - acknowledged < WINDOW / 2) send();
    });
    socket.on("close", () => resolve());
    socket.write(connectPacket("publisher"));
  });
}

/** Takes and acknowledges all messages; throws if one is lost, repeated or out of order. */
function takeAll(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let rest = Buffer.alloc(0);
    let taken = 0;
    const socket = open(port, (chunk, byteCount) => {
      const bytes = Buffer.concat([rest, chunk.subarray(0, byteCount)]);
      const acks: number[] = [];
      let at = 0;
      for (;;) {
        const packet = packetAt(bytes, at);
        if (packet === null) break;
        if (bytes[at]! >> 4 === 3) {
          const idAt = packet.body + 2 + bytes.readUInt16BE(packet.body);
          if (bytes.readUInt32BE(idAt + 2) !== taken++) {
            reject(new Error(`message ${bytes.readUInt32BE(idAt + 2)} in place of ${taken - 1}`));
          }
          acks.push(0x40, 2, bytes[idAt]!, bytes[idAt + 1]!);
        }
        at = packet.end;
      }
      rest = Buffer.from(bytes.subarray(at));
      if (acks.length > 0) socket.write(Buffer.from(acks));
      if (taken === count) socket.end(Buffer.from([0xe0, 0]));
    });
    socket.on("close", () => resolve());
    socket.write(connectPacket("away", false));
  });
}

function packetAt(bytes: Buffer, at: number): { body: number; end: number } | null {
  let remaining = 0;
  for (let i = 1; i <= 4; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return null;
    remaining += (byte & 0x7f) * 128 ** (i - 1);
    if (byte > 0x7f) continue;
    const body = at + i + 1;
    return body + remaining > bytes.length ? null : { body, end: body + remaining };
  }
  return null;
}

interface Memory {
  /** Of the process alone. */
  readonly anonymous: number;
  /** Pages of the store's file, which the system drops when it needs memory. */
  readonly file: number;
}

interface Phase {
  readonly seconds: number;
  /** Processor time of the broker, with the thread of its store. */
  readonly cpu: number;
  /** The largest values. */
  readonly memory: Memory;
}

/** Runs a phase, and watches the memory of the broker. */
async function during(pid: number, run: () => Promise<void>): Promise<Phase> {
  let [anonymous, file] = [0, 0];
  const watch = (): void => {
    const now = memoryOf(pid);
    anonymous = Math.max(anonymous, now.anonymous);
    file = Math.max(file, now.file);
  };
  const timer = setInterval(watch, 50);
  const cpuBefore = cpuSeconds(pid);
  const began = performance.now();
  await run();
  const seconds = (performance.now() - began) / 1000;
  clearInterval(timer);
  watch();
  return { seconds, cpu: cpuSeconds(pid) - cpuBefore, memory: { anonymous, file } };
}

function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const bytes = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1]) * 1024;
  return { anonymous: bytes("RssAnon"), file: bytes("RssFile") };
}

function report(name: string, { seconds, cpu, memory }: Phase): void {
  const rate = Math.round(count / seconds).toLocaleString("en-US");
  const mega = (byteCount: number): string => `${Math.round(byteCount / MiB)} MiB`;
  const used = `${cpu.toFixed(1)} s of a core`;
  const text = `${name} in ${seconds.toFixed(1)} s (${used}), ${rate}/s`;
  process.stdout.write(
    `${text}; memory ${mega(memory.anonymous)}, and ${mega(memory.file)} of files\n`,
  );
}

/** Messages of the publisher that are not acknowledged yet. */
const WINDOW = 4000;

await main();
