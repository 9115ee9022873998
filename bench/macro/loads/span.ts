/** Measures the processor time of a span, in the load and in the broker. */
import { setTimeout as sleep } from "node:timers/promises";
import { cpuSeconds } from "../../lib/process.ts";
import type { LoadJob, LoadResult } from "../scenarios.ts";

export { sleep };

export type Cost = Pick<LoadResult, "cpuShare" | "loadShare"> & { readonly elapsed: number };

/** Begins a span; the function that it returns ends it. */
export function span({ pid }: LoadJob): () => Cost {
  const start = process.hrtime.bigint();
  const brokerCpu = cpuSeconds(pid);
  const own = process.cpuUsage();
  return () => {
    const elapsed = Number(process.hrtime.bigint() - start) / 1e9;
    const { user, system } = process.cpuUsage(own);
    return {
      elapsed,
      cpuShare: (cpuSeconds(pid) - brokerCpu) / elapsed,
      loadShare: (user + system) / 1e6 / elapsed,
    };
  };
}
