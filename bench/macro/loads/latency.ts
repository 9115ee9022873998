/**
 * Messages on a fixed schedule. A latency counts from the time when the message was due, so that a
 * broker that stalls is charged for all the messages that it delayed, not only for one.
 */
import type { Socket } from "node:net";
import { connectPacket, open, publishPacket, ready, subscribePacket } from "../../lib/client.ts";
import { rssBytes } from "../../lib/process.ts";
import { percentile } from "../../lib/statistics.ts";
import type { LoadJob, LoadResult } from "../scenarios.ts";
import { sleep, span } from "./span.ts";

/** Many pairs, each with an occasional message. */
export async function sparse(
  job: LoadJob,
  { pairs, msgsPerSec }: { readonly pairs: number; readonly msgsPerSec: number },
): Promise<LoadResult> {
  const { port } = job;
  const latencies = new Latencies(msgsPerSec * (job.seconds + 2));
  const publishers: Socket[] = [];
  const packets: Buffer[] = [];
  for (let n = 0; n < pairs; n++) {
    const topic = `sparse/${String(n).padStart(4, "0")}`;
    const packet = publishPacket(topic, Buffer.alloc(16), 0, 0);
    packets.push(packet);
    await ready(port, `s${n}`, topic, 0, latencies.reader(packet.length, 16));
    publishers.push(await ready(port, `p${n}`, null, 0, () => {}));
  }
  return scheduled(job, msgsPerSec, 1, latencies, (n, due) => {
    const pair = (n * 7919) % pairs;
    publishers[pair]!.write(stamped(packets[pair]!, 16, due));
  });
}

/** One publisher to many subscribers, some of which do not read. */
export async function paced(
  job: LoadJob,
  params: { readonly subscribers: number; readonly frozen: number; readonly msgsPerSec: number },
): Promise<LoadResult> {
  const { port } = job;
  const { subscribers, frozen, msgsPerSec } = params;
  const packet = publishPacket("paced", Buffer.alloc(PACED_BYTES), 0, 0);
  const latencies = new Latencies(msgsPerSec * subscribers * (job.seconds + 2));
  for (let n = 0; n < frozen; n++) {
    // The broker may close the connection.
    const stuck: Socket = open(
      port,
      () => void stuck.pause(),
      () => {},
    );
    stuck.write(connectPacket(`frozen${n}`));
    stuck.write(subscribePacket("paced", 0));
  }
  for (let n = 0; n < subscribers; n++) {
    await ready(port, `s${n}`, "paced", 0, latencies.reader(packet.length, PACED_BYTES));
  }
  const publisher = await ready(port, "p", null, 0, () => {});
  return scheduled(job, msgsPerSec, subscribers, latencies, (_, due) => {
    publisher.write(stamped(packet, PACED_BYTES, due));
  });
}

/** Sends each message when it is due, to `receivers` receivers, and measures after a warm-up. */
async function scheduled(
  job: LoadJob,
  msgsPerSec: number,
  receivers: number,
  latencies: Latencies,
  send: (n: number, due: number) => void,
): Promise<LoadResult> {
  let sent = 0;
  let idleMillis = 0;
  let isOver = false;
  const startAt = performance.now() + 100;
  let last = startAt;
  let seen = 0;
  // Never sleeps: a timer is a millisecond late, ten times as long as a broker takes.
  const turn = (): void => {
    if (isOver) return;
    const now = performance.now();
    const before = sent;
    for (; ; sent++) {
      const due = startAt + (sent * 1000) / msgsPerSec;
      if (due > now) break;
      send(sent, due);
    }
    if (sent === before && latencies.reads === seen) idleMillis += now - last;
    seen = latencies.reads;
    last = now;
    setImmediate(turn);
  };
  setImmediate(turn);
  await sleep(WARM_UP_MILLIS);
  const first = sent;
  latencies.from = startAt + (first * 1000) / msgsPerSec;
  const end = span(job);
  const idleBefore = idleMillis;
  await sleep(job.seconds * 1000);
  const { elapsed, cpuShare } = end();
  // The share of turns that had work to do.
  const loadShare = 1 - (idleMillis - idleBefore) / 1000 / elapsed;
  // Messages due from now on are not measured. The load waits for the missing messages that were
  // due, because they matter most.
  const expected = (sent - first) * receivers;
  latencies.to = startAt + ((sent - 0.5) * 1000) / msgsPerSec;
  const deadline = performance.now() + STRAGGLER_MILLIS;
  while (latencies.count < expected && performance.now() < deadline) await sleep(10);
  isOver = true;
  const arrived = latencies.count;
  for (let n = arrived; n < expected; n++) latencies.add(performance.now() - latencies.to);
  const sorted = latencies.sorted();
  return {
    msgsPerSec: arrived / elapsed,
    cpuShare,
    loadShare,
    rssBytes: rssBytes(job.pid),
    p50Micros: percentile(sorted, 0.5),
    p99Micros: percentile(sorted, 0.99),
    p999Micros: percentile(sorted, 0.999),
  };
}

/** Warms up the engine's compiler, so that the measured broker has run for a while. */
const WARM_UP_MILLIS = 3000;
/** A message that is later than this counts as this late. */
const STRAGGLER_MILLIS = 5000;

/** A packet whose payload begins with the time when it was due. */
function stamped(packet: Buffer, payloadBytes: number, due: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeDoubleLE(due, copy.length - payloadBytes);
  return copy;
}

class Latencies {
  /** Measures the messages due in [from, to). */
  from = Number.POSITIVE_INFINITY;
  to = Number.POSITIVE_INFINITY;
  count = 0;
  /** The number of reads. */
  reads = 0;
  readonly #micros: Float64Array;

  constructor(max: number) {
    this.#micros = new Float64Array(max);
  }

  /** Reads the times from the packets of one subscriber, which all have the same length. */
  reader(packetBytes: number, payloadBytes: number): (bytes: Uint8Array, count: number) => void {
    const at = packetBytes - payloadBytes;
    let partial: Buffer = Buffer.alloc(0);
    return (bytes, count) => {
      this.reads++;
      const lent = Buffer.from(bytes.buffer, bytes.byteOffset, count);
      const all = partial.length === 0 ? lent : Buffer.concat([partial, lent]);
      let start = 0;
      for (; start + packetBytes <= all.length; start += packetBytes) {
        const due = all.readDoubleLE(start + at);
        if (due >= this.from && due < this.to) this.add(performance.now() - due);
      }
      partial = start === all.length ? EMPTY : Buffer.from(all.subarray(start));
    };
  }

  add(millis: number): void {
    if (this.count < this.#micros.length) this.#micros[this.count++] = millis * 1000;
  }

  sorted(): Float64Array {
    return this.#micros.subarray(0, this.count).sort();
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
const PACED_BYTES = 256;
