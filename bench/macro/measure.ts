/** Measures brokers side by side, each on a core of its own, in alternating rounds. */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cores, lineOf, startPinned, stop } from "../lib/process.ts";
import type { MacroRow } from "../lib/results.ts";
import { medianRow } from "../lib/results.ts";
import { type BrokerName, isAble, promises, startBroker } from "./brokers.ts";
import { type LoadJob, type LoadResult, scenarios } from "./scenarios.ts";

/** A broker on a runtime, measured side by side with others. */
export interface Contender {
  /** The name in its result rows. */
  readonly name: string;
  readonly broker: BrokerName;
  /** Its runtime, if it is in JavaScript. */
  readonly runtime: string;
}

export interface MacroOptions {
  readonly scenarios: readonly string[];
  readonly contenders: readonly Contender[];
  readonly rounds: number;
  readonly seconds: number;
  /** Whether the rows say what each broker promises. */
  readonly hasPromises: boolean;
  /** Folder for CPU profiles of sansmq, or null. */
  readonly profileFolder: string | null;
  progress(text: string): void;
}

/** Returns the medians of every scenario and broker; calls `handleScenario` after each scenario. */
export async function measureAll(
  options: MacroOptions,
  handleScenario: (rows: readonly MacroRow[]) => void,
): Promise<MacroRow[]> {
  const rows: MacroRow[] = [];
  for (const name of options.scenarios) {
    const { needs } = scenarios[name]!;
    const able = options.contenders.filter(({ broker }) => isAble(broker, needs));
    const measured = new Map<Contender, MacroRow[]>(able.map((contender) => [contender, []]));
    for (let round = 1; round <= options.rounds; round++) {
      for (const contender of able) {
        options.progress(`${name}: round ${round} of ${options.rounds}, ${contender.name}`);
        const row = await measure(name, contender, options);
        if (row !== null) measured.get(contender)!.push(row);
      }
    }
    const medians = [...measured.values()].flatMap((all) =>
      all.length === 0 ? [] : [medianRow(all)],
    );
    handleScenario(medians);
    rows.push(...medians);
  }
  return rows;
}

/** Null, with a message, if the broker did not complete the scenario in time. */
async function measure(
  name: string,
  { name: title, broker, runtime }: Contender,
  options: MacroOptions,
): Promise<MacroRow | null> {
  const pinned = cores();
  const isProfiled = options.profileFolder !== null && broker === "sansmq";
  const flags = isProfiled ? ["--cpu-prof", `--cpu-prof-dir=${options.profileFolder}`] : [];
  const running = await startBroker(broker, {
    core: pinned?.broker ?? null,
    runtime: [...runtime.split(" "), ...flags],
  });
  const { scenario } = scenarios[name]!;
  const { port, pid } = running;
  const job: LoadJob = { port, pid, seconds: options.seconds, scenario };
  const script = fileURLToPath(new URL("./load.js", import.meta.url));
  const load = startPinned([process.execPath, script, JSON.stringify(job)], pinned?.load ?? null);
  const timer = setTimeout(() => load.kill("SIGKILL"), (options.seconds + SETUP_SECONDS) * 1000);
  try {
    const [line] = await lineOf(load, /^\{.*\}$/m);
    const result = JSON.parse(line) as LoadResult;
    if (scenario.kind !== "idle" && result.msgsPerSec === 0) throw new Error("nothing arrived");
    const { p50Micros = null, p99Micros = null, p999Micros = null } = result;
    const { msgsPerSec, cpuShare, rssBytes, loadShare } = result;
    const latency = { p50Micros, p99Micros, p999Micros };
    const params = { ...scenario };
    return {
      scenario: name,
      broker: title,
      params,
      ...(options.hasPromises ? { promise: promises[broker] } : {}),
      msgsPerSec,
      ...latency,
      cpuShare,
      rssBytes,
      loadShare,
      noise: 0,
    };
  } catch (error) {
    process.stderr.write(`\n${name}, ${title}: no result: ${String(error).slice(0, 200)}\n`);
    return null;
  } finally {
    clearTimeout(timer);
    await stop(load);
    if (isProfiled) running.child.kill("SIGINT");
    if (isProfiled) await new Promise((done) => running.child.once("exit", done));
    else await stop(running.child);
  }
}

/** The paths of the CPU profiles in a folder. */
export function profilesIn(folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  return readdirSync(folder)
    .filter((name) => name.endsWith(".cpuprofile"))
    .map((name) => join(folder, name));
}

/** Time allowed for opening connections and warming up; beyond it the broker has failed. */
const SETUP_SECONDS = 30;
