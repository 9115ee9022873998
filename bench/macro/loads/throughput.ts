/** The throughput of a closed loop. */
import { rssBytes } from "../../lib/process.ts";
import type { FlowParams } from "../flows.ts";
import { openFlow } from "../flows.ts";
import type { LoadJob, LoadResult } from "../scenarios.ts";
import { sleep, span } from "./span.ts";

export async function throughput(
  job: LoadJob,
  params: Omit<FlowParams, "port">,
): Promise<LoadResult> {
  const flow = await openFlow({ port: job.port, ...params });
  flow.start();
  await sleep(500);
  const before = flow.received;
  const end = span(job);
  await sleep(job.seconds * 1000);
  const { elapsed, cpuShare, loadShare } = end();
  const msgsPerSec = (flow.received - before) / elapsed;
  return { msgsPerSec, cpuShare, loadShare, rssBytes: rssBytes(job.pid) };
}
