/** All retained messages, sent to subscribers of one wildcard filter. */
import type { Socket } from "node:net";
import { connectPacket, open, publishPacket, ready, subscribePacket } from "../../lib/client.ts";
import { rssBytes } from "../../lib/process.ts";
import type { LoadJob, LoadResult } from "../scenarios.ts";
import { span } from "./span.ts";

export async function retained(
  job: LoadJob,
  { count, subscribers }: { readonly count: number; readonly subscribers: number },
): Promise<LoadResult> {
  const { port, pid } = job;
  const frame = (n: number): Buffer => {
    const name = `retained/${n % 100}/${String(n).padStart(6, "0")}`;
    return retain(publishPacket(name, Buffer.alloc(16), 0, 0));
  };
  let total = 0;
  const source = await ready(port, "source", null, 0, () => {});
  for (let n = 0; n < count; n += 100) {
    const packets = Array.from({ length: 100 }, (_, i) => frame(n + i));
    total += packets.reduce((sum, packet) => sum + packet.length, 0);
    if (!source.write(Buffer.concat(packets))) {
      await new Promise<void>((resolve) => source.once("drain", () => resolve()));
    }
  }
  await quiet(port, total);
  const end = span(job);
  for (let n = 0; n < subscribers; n++) (await all(port, `all${n}`, total)).destroy();
  const { elapsed, cpuShare, loadShare } = end();
  const msgsPerSec = (count * subscribers) / elapsed;
  return { msgsPerSec, cpuShare, loadShare, rssBytes: rssBytes(pid) };
}

function retain(packet: Buffer): Buffer {
  packet[0]! |= 1;
  return packet;
}

/** Subscribes once, so that all messages are stored before the measurement. */
async function quiet(port: number, total: number): Promise<void> {
  (await all(port, "warm", total)).destroy();
}

/** Resolves when a new subscriber has received `total` bytes of PUBLISH packets. */
function all(port: number, clientId: string, total: number): Promise<Socket> {
  return new Promise((resolve) => {
    // CONNACK is four bytes, SUBACK five.
    let missing = total + 9;
    const socket: Socket = open(port, (_, count) => {
      missing -= count;
      if (missing <= 0) resolve(socket);
    });
    socket.write(connectPacket(clientId));
    socket.write(subscribePacket("retained/#", 0));
  });
}
