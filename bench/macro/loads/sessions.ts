/** Clients that connect, reconnect, or stay idle. */
import type { Socket } from "node:net";
import { connectPacket, open, publishPacket, ready } from "../../lib/client.ts";
import { rssBytes } from "../../lib/process.ts";
import { acknowledger } from "../flows.ts";
import type { LoadJob, LoadResult } from "../scenarios.ts";
import { sleep, span } from "./span.ts";

/** Calls `one(n)` for each n below `count`, `atOnce` of them at a time. */
async function each(
  count: number,
  atOnce: number,
  one: (n: number) => Promise<unknown>,
): Promise<void> {
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < count) await one(begun++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** Connects, each measured from SYN to CONNACK. */
export async function connects(
  job: LoadJob,
  { count, atOnce }: { readonly count: number; readonly atOnce: number },
): Promise<LoadResult> {
  const sockets: Socket[] = [];
  const connect = (n: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = open(job.port, () => resolve());
      socket.write(connectPacket(`c${n}`));
      sockets.push(socket);
    });
  await each(WARM_UP_CONNECTS, atOnce, connect);
  for (const socket of sockets.splice(0)) socket.destroy();
  await sleep(500);
  const end = span(job);
  await each(count, atOnce, connect);
  const { elapsed, cpuShare, loadShare } = end();
  const result = { msgsPerSec: count / elapsed, cpuShare, loadShare, rssBytes: rssBytes(job.pid) };
  for (const socket of sockets) socket.destroy();
  return result;
}

/**
 * Sessions whose clients are disconnected, with queued QoS 1 messages; then all clients reconnect.
 */
export async function reconnects(
  job: LoadJob,
  { sessions, queued }: { readonly sessions: number; readonly queued: number },
): Promise<LoadResult> {
  const { port } = job;
  const topicOf = (n: number): string => `back/${String(n).padStart(5, "0")}`;
  const disconnect = Buffer.from([0xe0, 0]);
  await each(sessions, 50, async (n) => {
    const socket = await ready(port, `back${n}`, topicOf(n), 1, () => {}, false);
    socket.end(disconnect);
  });
  await new Promise<void>((resolve) => {
    let missing = sessions * queued;
    let publisher: Socket;
    const more = (n: number): void => {
      for (let i = 0; i < queued; i++) {
        publisher.write(
          publishPacket(topicOf(n), Buffer.alloc(16), 1, ((n * queued + i) % 60_000) + 1),
        );
      }
    };
    let sent = 0;
    void ready(port, "source", null, 0, (_, count) => {
      missing -= count / 4;
      if (missing <= 0) resolve();
      else if (sent < sessions) more(sent++);
    }).then((socket) => {
      publisher = socket;
      for (; sent < 20; sent++) more(sent);
    });
  });
  const frameBytes = publishPacket(topicOf(0), Buffer.alloc(16), 1, 1).length;
  const end = span(job);
  await each(
    sessions,
    100,
    (n) =>
      new Promise<void>((resolve) => {
        let missing = queued;
        const socket = open(port, (bytes, count) => take(bytes, count));
        const answer = acknowledger(
          () => socket,
          frameBytes,
          topicOf(n),
          (frames) => {
            missing -= frames;
            if (missing === 0) resolve();
          },
        );
        let isFirst = true;
        const take = (bytes: Uint8Array, count: number): void => {
          // The first four bytes are the CONNACK.
          const start = isFirst ? 4 : 0;
          isFirst = false;
          if (count > start) answer(bytes.subarray(start, count), count - start);
        };
        socket.write(connectPacket(`back${n}`, false));
      }),
  );
  const { elapsed, cpuShare, loadShare } = end();
  return { msgsPerSec: sessions / elapsed, cpuShare, loadShare, rssBytes: rssBytes(job.pid) };
}

/** Memory of connections that only have a subscription. */
export async function idle(
  job: LoadJob,
  { count }: { readonly count: number },
): Promise<LoadResult> {
  const { port, pid } = job;
  await sleep(500);
  const before = rssBytes(pid);
  await each(count, 100, (n) => ready(port, `i${n}`, `idle/${n}`, 0, () => {}));
  await sleep(1500);
  const end = span(job);
  await sleep(1000);
  const { cpuShare, loadShare } = end();
  return { msgsPerSec: 0, cpuShare, loadShare, rssBytes: rssBytes(pid) - before };
}

/** Warms up the engine's compiler, so that the measured broker has run for a while. */
const WARM_UP_CONNECTS = 3000;
