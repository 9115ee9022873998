/**
 * The load process: runs one scenario against a port and prints its results as JSON.
 *
 * The results include its own processor time: a load without idle time measures itself.
 */
import { alone } from "./loads/alone.ts";
import { paced, sparse } from "./loads/latency.ts";
import { retained } from "./loads/retained.ts";
import { connects, idle, reconnects } from "./loads/sessions.ts";
import { throughput } from "./loads/throughput.ts";
import type { LoadJob, LoadResult } from "./scenarios.ts";

function run(job: LoadJob): Promise<LoadResult> {
  const { scenario } = job;
  switch (scenario.kind) {
    case "flow":
      return throughput(job, scenario.flow);
    case "alone":
      return alone(job, scenario);
    case "sparse":
      return sparse(job, scenario);
    case "paced":
      return paced(job, scenario);
    case "connects":
      return connects(job, scenario);
    case "reconnects":
      return reconnects(job, scenario);
    case "idle":
      return idle(job, scenario);
    case "retained":
      return retained(job, scenario);
  }
}

const result = await run(JSON.parse(process.argv[2]!) as LoadJob);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
