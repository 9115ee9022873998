/**
 * `npm run alternate -- FOLDER`: compares another build of sansmq in FOLDER with this one, on a
 * machine that is not quiet.
 *
 * Both brokers run on one core and have a load each, but only one runs at a time: windows of 200 ms
 * alternate by SIGSTOP and SIGCONT, so that what disturbs the machine disturbs both. Each pair of
 * windows gives a ratio of the processor time per message; each pair of processes gives the median of
 * its windows, because an engine optimises differently from start to start; the result is the
 * median and the geometric mean of all pairs of processes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cores, freePort, lineOf, startPinned } from "./lib/process.ts";
import { median } from "./lib/statistics.ts";
import { type Flow, openFlow } from "./macro/flows.ts";
import { scenarios } from "./macro/scenarios.ts";

const usage = `npm run alternate -- FOLDER [--scenario A,B] [--pairs 6] [--windows 16]
`;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    scenario: { type: "string", default: "pairs-qos0,pairs-qos1,pairs-qos2,fan-in,fan-out" },
    pairs: { type: "string", default: "6" },
    windows: { type: "string", default: "16" },
    /** Used by the command itself: one pair of processes, the first of the pair first or second. */
    pair: { type: "string" },
  },
});
const [folder] = positionals;
const names = values.scenario.split(",");
const unknown = names.find((name) => scenarios[name]?.scenario.kind !== "flow");
if (folder === undefined || unknown !== undefined) {
  const fault = folder === undefined ? "no FOLDER" : `${unknown} is not a scenario of throughput`;
  process.stderr.write(`alternate: ${fault}\n${usage}`);
  process.exit(2);
}
const [pairs, windows] = [Number(values.pairs), Number(values.windows)];
const own = fileURLToPath(new URL("../..", import.meta.url));

async function compare(name: string): Promise<void> {
  const ratios: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const script = fileURLToPath(import.meta.url);
    const args = [script, folder!, "--scenario", name, "--pair", String(pair)];
    const command = [process.execPath, ...args, "--windows", String(windows)];
    const child = startPinned(command, cores()?.load ?? null);
    const [line] = await lineOf(child, /^\d.*$/m);
    ratios.push(Number(line));
  }
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / pairs);
  const each = ratios.map((ratio) => ratio.toFixed(2)).join(" ");
  process.stdout.write(
    `${name}: processor time per message, before over after: median ${median(ratios).toFixed(3)}, mean ${mean.toFixed(3)} (${each})\n`,
  );
}

interface Side {
  readonly child: ChildProcess;
  readonly flow: Flow;
}

/** Prints the median over the windows of one pair of processes, and ends. */
async function onePair(name: string, pair: number): Promise<void> {
  const order = pair % 2 === 0 ? [folder!, own] : [own, folder!];
  const sides: Side[] = [];
  for (const build of order) sides.push(await start(build, name));
  const [before, after] = pair % 2 === 0 ? sides : sides.toReversed();
  const ratios: number[] = [];
  for (let n = 0; n < windows; n++) {
    const first = n % 2 === 0 ? await costOf(before!) : 0;
    const second = await costOf(after!);
    ratios.push((first === 0 ? await costOf(before!) : first) / second);
  }
  process.stdout.write(`${median(ratios)}\n`, () => {
    for (const { child } of sides) child.kill("SIGKILL");
    process.exit(0);
  });
}

async function start(build: string, name: string): Promise<Side> {
  const port = await freePort();
  // An older build keeps everything in memory anyway.
  const hasStore = existsSync(join(build, "dist/adapters/recover.js"));
  const flags = ["--port", String(port), "--no-ws", "--log-level", "error"];
  if (hasStore) flags.push("--store", "memory");
  const main = join(build, "dist/adapters/cli/main.js");
  const core = cores()?.broker;
  const pin = core === undefined ? [] : ["taskset", "-c", String(core)];
  const [command, ...args] = [...pin, process.execPath, main, ...flags];
  const child = spawn(command!, args, { stdio: ["ignore", "pipe", "pipe"] });
  await lineOf(child, /listening/);
  const { scenario } = scenarios[name]!;
  if (scenario.kind !== "flow") throw new Error(`${name} is not a scenario of throughput`);
  const flow = await openFlow({ port, ...scenario.flow });
  flow.start();
  await sleep(WARM_UP_MILLIS);
  child.kill("SIGSTOP");
  return { child, flow };
}

/** Processor time per message in one window, in nanoseconds. */
async function costOf({ child, flow }: Side): Promise<number> {
  child.kill("SIGCONT");
  await sleep(SETTLE_MILLIS);
  const [messages, nanos] = [flow.received, cpuNanos(child.pid!)];
  await sleep(WINDOW_MILLIS);
  const cost = (cpuNanos(child.pid!) - nanos) / (flow.received - messages);
  child.kill("SIGSTOP");
  return cost;
}

/** Processor time of all threads of a process. */
function cpuNanos(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  }
  return sum;
}

const WARM_UP_MILLIS = 1500;
const SETTLE_MILLIS = 30;
const WINDOW_MILLIS = 200;

if (values.pair === undefined) {
  for (const name of names) await compare(name);
} else {
  await onePair(names[0]!, Number(values.pair));
}
