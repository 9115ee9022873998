/**
 * One publisher that sends its next message after the acknowledgement of the one before. The
 * subscriber has a kept session, so a durable broker stores each message first.
 */
import type { Socket } from "node:net";
import { publishPacket, ready } from "../../lib/client.ts";
import { rssBytes } from "../../lib/process.ts";
import { percentile } from "../../lib/statistics.ts";
import { acknowledger } from "../flows.ts";
import type { LoadJob, LoadResult } from "../scenarios.ts";
import { sleep, span } from "./span.ts";

export async function alone(job: LoadJob, { qos }: { readonly qos: 1 }): Promise<LoadResult> {
  const { port, seconds } = job;
  const packet = publishPacket("alone", Buffer.alloc(16), qos, 1);
  const micros: number[] = [];
  let sentAt = 0;
  let isMeasured = false;
  const acknowledge = acknowledger(
    () => subscriber,
    packet.length,
    "alone",
    () => {},
  );
  const subscriber: Socket = await ready(port, "kept", "alone", qos, acknowledge, false);
  const publisher = await ready(port, "alone", null, 0, () => {
    if (isMeasured) micros.push((performance.now() - sentAt) * 1000);
    send();
  });
  const send = (): void => {
    sentAt = performance.now();
    publisher.write(packet);
  };
  send();
  await sleep(WARM_UP_MILLIS);
  isMeasured = true;
  const end = span(job);
  await sleep(seconds * 1000);
  const { elapsed, cpuShare, loadShare } = end();
  const sorted = Float64Array.from(micros).sort();
  return {
    msgsPerSec: micros.length / elapsed,
    ...{ cpuShare, loadShare, rssBytes: rssBytes(job.pid) },
    p50Micros: percentile(sorted, 0.5),
    p99Micros: percentile(sorted, 0.99),
    p999Micros: percentile(sorted, 0.999),
  };
}

/** Warms up the engine's compiler, so that the measured broker has run for a while. */
const WARM_UP_MILLIS = 1000;
