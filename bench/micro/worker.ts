/**
 * Measures the cases of one name and one implementation with tinybench, and prints their rows as
 * JSON.
 */
import { Bench } from "tinybench";
import type { MicroRow } from "../lib/results.ts";
import { allCases } from "./cases.ts";

const [, , name, impl, millis] = process.argv;
let sink = 0;

async function measured(
  run: () => number,
  ops: number,
  time: number,
): Promise<Pick<MicroRow, "nsPerOp" | "opsPerSec" | "rme">> {
  const bench = new Bench({ time, warmupTime: time / 2, iterations: 10, throws: true });
  bench.add("case", () => {
    sink += run();
  });
  await bench.run();
  const { result } = bench.tasks[0]!;
  if (result.state !== "completed") throw new Error(`a case ended ${result.state}`);
  // The median: other work of the machine affects the slowest runs.
  const nsPerOp = (result.latency.p50 * 1e6) / ops;
  return { nsPerOp, opsPerSec: 1e9 / nsPerOp, rme: result.latency.rme };
}

const rows: MicroRow[] = [];
for (const each of allCases) {
  if (each.name !== name || each.impl !== impl) continue;
  const { params, ops } = each;
  rows.push({ name, impl, params, ...(await measured(each.prepare(), ops, Number(millis))) });
}
// Uses the results, so that the engine cannot eliminate the computation.
if (!Number.isFinite(sink)) throw new Error("the sum of the cases is not a number");
process.stdout.write(JSON.stringify(rows));
