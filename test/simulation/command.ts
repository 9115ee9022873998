/**
 * The command: `npm run simulate -- --seed 7 --steps 1e6 --seeds 10 --workers 2`. Runs the seeds 7 to 16, on two cores.
 * Exit code 1 if a run failed; the output has the commit, the command that repeats it, and what happened last.
 */
import { execFileSync, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { plantedFaults } from "./planted-faults.ts";
import { reportOf } from "./report.ts";
import type { RunResult } from "./run.ts";
import { run } from "./run.ts";

const usage = `usage: npm run simulate -- [--seed N] [--steps N] [--seeds N] [--workers N] [--fault NAME]
  --seed N      first seed (default 1)
  --steps N     steps of each seed (default 1e5)
  --seeds N     how many seeds (default 1)
  --workers N   processes (default 1)
  --fault NAME  plants a fault: ${Object.keys(plantedFaults).join(", ")}`;

interface Totals {
  seeds: number;
  steps: number;
  published: number;
  taken: number;
  crashes: number;
}

const options = parsed();
const planted = options.fault === "" ? undefined : plantedFaults[options.fault];
const totals: Totals = { seeds: 0, steps: 0, published: 0, taken: 0, crashes: 0 };
const startedAt = performance.now();
let hasFailed = false;

if (process.env["SIMULATE_WORKER"] === "1") work();
else if (options.workers === 1) runAll();
else startWorkers();

function parsed() {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: "string", default: "1" },
        steps: { type: "string", default: "1e5" },
        seeds: { type: "string", default: "1" },
        workers: { type: "string", default: "1" },
        fault: { type: "string", default: "" },
      },
    });
    const number = (name: "seed" | "steps" | "seeds" | "workers", min: number): number => {
      const value = Number(values[name]);
      if (Number.isSafeInteger(value) && value >= min) return value;
      throw new Error(`--${name}: "${values[name]}" is not a whole number from ${min}`);
    };
    const { fault } = values;
    if (fault !== "" && !Object.hasOwn(plantedFaults, fault)) {
      throw new Error(`--fault: "${fault}" is none of ${Object.keys(plantedFaults).join(", ")}`);
    }
    return {
      seed: number("seed", 0),
      steps: number("steps", 0),
      seeds: number("seeds", 1),
      workers: number("workers", 1),
      fault,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}\n`);
    process.exit(2);
  }
}

function runSeed(seed: number): RunResult {
  return run({
    seed,
    steps: options.steps,
    ...(planted === undefined ? {} : { fault: planted() }),
  });
}

function runAll(): void {
  let hash = "";
  for (let n = 0; n < options.seeds; n++) {
    const seed = options.seed + n;
    const result = runSeed(seed);
    hash = result.hash;
    add({ seeds: 1, ...result });
    if (result.error !== null) fail(seed);
    showProgress();
  }
  if (options.seeds === 1) process.stdout.write(`trace ${hash}\n`);
  finish();
}

/** A worker process: it runs each seed that it is given. */
function work(): void {
  process.on("message", (seed: number) => {
    const { steps, published, taken, crashes, error } = runSeed(seed);
    const isFine = error === null;
    process.send!({ seed, isFine, totals: { seeds: 1, steps, published, taken, crashes } });
  });
}

function startWorkers(): void {
  let next = options.seed;
  const end = options.seed + options.seeds;
  let left = Math.min(options.workers, options.seeds);
  for (let n = left; n > 0; n--) {
    const worker = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
      env: { ...process.env, SIMULATE_WORKER: "1" },
    });
    worker.on(
      "message",
      ({ seed, isFine, totals }: { seed: number; isFine: boolean; totals: Totals }) => {
        add(totals);
        if (!isFine) fail(seed);
        showProgress();
        if (next < end) worker.send(next++);
        else worker.disconnect();
      },
    );
    worker.on("exit", (code) => {
      if (code !== 0) {
        process.stderr.write(`a worker ended with ${code}\n`);
        process.exit(1);
      }
      if (--left === 0) finish();
    });
    worker.send(next++);
  }
}

function add(part: Totals): void {
  for (const name of Object.keys(totals) as (keyof Totals)[]) totals[name] += part[name];
}

function fail(seed: number): void {
  hasFailed = true;
  clearProgress();
  const fault = options.fault === "" ? [] : ["--fault", `"${options.fault}"`];
  process.stdout.write(
    reportOf({
      commit: commit(),
      seed,
      steps: options.steps,
      extra: fault,
      run: (steps, keepsText) =>
        run({ seed, steps, keepsText, ...(planted === undefined ? {} : { fault: planted() }) }),
    }),
  );
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync("git", args, { encoding: "utf8" }).trim();
    const isClean = git("status", "--porcelain") === "";
    return `${git("rev-parse", "HEAD")}${isClean ? "" : " with changes"}`;
  } catch {
    return "unknown";
  }
}

let shownAt = 0;
function showProgress(): void {
  const now = performance.now();
  if (!process.stderr.isTTY || now - shownAt < 500) return;
  shownAt = now;
  process.stderr.write(`\r${summary()}`);
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${" ".repeat(100)}\r`);
}

function summary(): string {
  const seconds = (performance.now() - startedAt) / 1000;
  const { seeds, steps, published, taken, crashes } = totals;
  const rate = Math.round(steps / seconds).toLocaleString("en");
  return (
    `${seeds}/${options.seeds} seeds, ${steps.toLocaleString("en")} steps, ${rate}/s, ` +
    `${published} published, ${taken} taken, ${crashes} crashes`
  );
}

function finish(): void {
  clearProgress();
  process.stdout.write(`${summary()}${hasFailed ? ", FAILED" : ""}\n`);
  process.exitCode = hasFailed ? 1 : 0;
}
