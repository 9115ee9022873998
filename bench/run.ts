/**
 * `npm run bench`: measures micro cases, whole brokers (macro) or start-up, or compares two result
 * files.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compare, comparisonTable, isRegression, onlyIn } from "./compare.ts";
import { chart } from "./lib/chart.ts";
import { cores } from "./lib/process.ts";
import { macroTable, markdown, microTable, runtimeTable } from "./lib/report.ts";
import { isResults, type MacroRow, type MicroRow, type Results } from "./lib/results.ts";
import { brokerNames, storedBrokers, usualBrokers } from "./macro/brokers.ts";
import { type Contender, measureAll, profilesIn } from "./macro/measure.ts";
import { scenarios } from "./macro/scenarios.ts";
import { allCases } from "./micro/cases.ts";
import { measureParts } from "./micro/measure.ts";
import { measureStartup } from "./startup.ts";

const usage = `npm run bench -- [micro] [macro]      both by default
npm run bench -- durable              brokers with and without a store, and what each promises
npm run bench -- runtimes             sansmq and the bare relay on Node, Bun and Deno
npm run bench -- startup              time from start to the first CONNACK, three times --rounds
npm run bench -- compare A.json B.json

  --filter TEXT      only cases and scenarios whose name contains TEXT
  --scenario A,B     only these scenarios: ${Object.keys(scenarios).join(", ")}
  --broker A,B       only these brokers: ${brokerNames.join(", ")}
  --rounds N         how often each is measured, in alternating order (3)
  --seconds N        seconds per round of a scenario (2)
  --time N           milliseconds per round of a micro case (300)
  --runtime COMMAND  runtime of the brokers in JavaScript: a Node, bun, "deno run -A" (this Node);
                     with runtimes: the Node
  --profile          write CPU profiles of sansmq and print their paths
  --json FILE        results file; a report (.md) and a chart (.svg) are written beside it
`;

function fail(message: string): never {
  process.stderr.write(`bench: ${message}\n\n${usage}`);
  process.exit(2);
}

/**
 * Ends on an error outside the command line, without the usage text. Not with exit code 1, which
 * means a regression.
 */
function stop(message: string): never {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(2);
}

function parsed() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        filter: { type: "string", default: "" },
        scenario: { type: "string" },
        broker: { type: "string" },
        rounds: { type: "string", default: "3" },
        seconds: { type: "string", default: "2" },
        time: { type: "string", default: "300" },
        runtime: { type: "string", default: process.execPath },
        profile: { type: "boolean", default: false },
        json: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

const { values, positionals } = parsed();

function chosen<T extends string>(given: string, known: readonly T[], what: string): T[] {
  return given.split(",").map((name) => {
    const found = known.find((each) => each === name);
    return found ?? fail(`unknown ${what} ${name}`);
  });
}

function positive(name: "rounds" | "seconds" | "time"): number {
  const number = Number(values[name]);
  const isFine = number > 0 && number < Number.POSITIVE_INFINITY;
  return isFine ? number : fail(`--${name}: ${values[name]} is not a number above 0`);
}

// All options are checked before any measurement.
const [rounds, seconds, millis] = [positive("rounds"), positive("seconds"), positive("time")];
if (!Number.isInteger(rounds)) fail(`--rounds: ${rounds} is not a whole number`);
const allScenarios = Object.keys(scenarios);
const scenarioNames =
  values.scenario === undefined ? allScenarios : chosen(values.scenario, allScenarios, "scenario");
const usual = positionals[0] === "durable" ? storedBrokers : usualBrokers;
const brokers =
  values.broker === undefined ? usual : [...new Set(chosen(values.broker, brokerNames, "broker"))];

function resultsOf(path: string): Results {
  try {
    const results: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (isResults(results)) return results;
  } catch (error) {
    return stop(`${path}: ${(error as Error).message}`);
  }
  return stop(`${path}: not results of this benchmark`);
}

function compareFiles(files: readonly string[]): never {
  const [before, after] = files;
  if (before === undefined || after === undefined || files.length > 2)
    fail("compare takes two files");
  const [old, now] = [resultsOf(before), resultsOf(after)];
  const comparisons = compare(old, now);
  if (comparisons.length === 0) stop(`${before} and ${after} have nothing in common`);
  const slower = comparisons.filter(isRegression);
  const alone = [
    ...onlyIn(old, now).map((name) => `only in ${before}: ${name}\n`),
    ...onlyIn(now, old).map((name) => `only in ${after}: ${name}\n`),
  ];
  process.stdout.write(
    `${comparisonTable(comparisons)}\n\n${alone.join("")}${slower.length} of ${comparisons.length} slower\n`,
  );
  process.exit(slower.length > 0 ? 1 : 0);
}

const progress = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else process.stderr.write(`${text}\n`);
};

function micro(): MicroRow[] {
  const { filter, runtime } = values;
  const rows = measureParts({ filter, rounds, millis, runtime, progress });
  const groups = [...new Set(rows.map(({ name }) => name))];
  progress("");
  for (const group of groups) {
    process.stdout.write(`${microTable(rows.filter(({ name }) => name === group))}\n\n`);
  }
  return rows;
}

async function macro(
  contenders: readonly Contender[],
  names: readonly string[],
): Promise<MacroRow[]> {
  if (cores() === null)
    process.stderr.write("bench: broker and load are not pinned to cores here\n");
  const profileFolder = values.profile ? join(resultsFolder, "profiles") : null;
  const before = new Set(profileFolder === null ? [] : profilesIn(profileFolder));
  const rows = await measureAll(
    {
      scenarios: names,
      contenders,
      rounds,
      seconds,
      hasPromises: kinds.some((kind) => kind === "durable"),
      profileFolder,
      progress,
    },
    (medians) => {
      progress("");
      process.stdout.write(`${macroTable(medians)}\n\n`);
    },
  );
  if (profileFolder !== null) {
    const made = profilesIn(profileFolder).filter((path) => !before.has(path));
    process.stdout.write(
      `profiles, for the developer tools of Chrome or an editor:\n${made.join("\n")}\n`,
    );
  }
  return rows;
}

function write(results: Results): void {
  const json = values.json ?? join(resultsFolder, "latest.json");
  const base = json.replace(/\.json$/, "");
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
  const picture = chart(results.macro, scenarios);
  if (picture !== "") writeFileSync(`${base}.svg`, picture);
  writeFileSync(`${base}.md`, markdown(results, picture === "" ? null : `${basename(base)}.svg`));
  process.stdout.write(`written: ${json}, ${base}.md${picture === "" ? "" : `, ${base}.svg`}\n`);
}

/** The path of a runtime that npm installed. */
function bin(name: string): string {
  return fileURLToPath(new URL(`../../node_modules/.bin/${name}`, import.meta.url));
}

function machine(): Record<string, string | number> {
  const versionOf = (command: string): string => {
    const [program = command] = command.split(" ");
    const version = firstLine(program, "--version") ?? stop(`--runtime: ${program} does not run`);
    return `${basename(program)} ${version}`;
  };
  return {
    runtime: versionOf(values.runtime),
    ...(positionals.includes("runtimes")
      ? { bun: versionOf(bin("bun")), deno: versionOf(bin("deno")) }
      : {}),
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    ...(kinds.some((kind) => kind === "macro" || kind === "durable") ? versions() : {}),
  };
}

const STORE_SCENARIOS = ["pairs-qos1", "kept-qos1", "pairs-qos2", "kept-qos2", "alone"];
const RUNTIME_SCENARIOS = [
  ...["pairs-qos0", "pairs-qos1", "fan-in", "fan-out", "pairs-64k", "sparse", "connects", "idle"],
];

/** The versions of the compared brokers. */
function versions(): Record<string, string> {
  const commands = {
    mosquitto: ["mosquitto", "-h"],
    nats: ["nats-server", "--version"],
  } as const;
  const found: Record<string, string> = {};
  for (const name of ["mosquitto", "nats"] as const) {
    if (!brokers.some((broker) => broker.startsWith(name))) continue;
    const [command, flag] = commands[name];
    const line = firstLine(command, flag) ?? stop(`${name}: ${command} does not run`);
    found[name] = line.replace(/^.*?v?(?=\d)/, "");
  }
  for (const name of ["aedes", "sansmq"] as const) {
    if (!brokers.some((broker) => broker.startsWith(name))) continue;
    const path = name === "sansmq" ? "../../package.json" : "../../node_modules/aedes/package.json";
    const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as {
      version: string;
    };
    found[name] = version;
  }
  return found;
}

/** The first line that a command prints, whatever its exit code; null if it cannot be run. */
function firstLine(command: string, flag: string): string | null {
  const { error, stdout } = spawnSync(command, [flag]);
  return error === undefined ? stdout.toString().split("\n")[0]! : null;
}

const resultsFolder = fileURLToPath(new URL("../../bench/results", import.meta.url));
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const [what, ...rest] = positionals;
if (what === "compare") compareFiles(rest);
if (what === "startup") {
  process.stdout.write(`${await measureStartup(values.runtime, rounds * 3)}\n`);
  process.exit(0);
}
const kinds =
  positionals.length === 0
    ? (["micro", "macro"] as const)
    : chosen(positionals.join(","), ["micro", "macro", "durable", "runtimes"] as const, "kind");
const { runtime } = values;
const wanted = (names: readonly string[]): string[] =>
  names.filter((name) => name.includes(values.filter));
const storeScenarios = values.scenario === undefined ? STORE_SCENARIOS : scenarioNames;
const runtimeScenarios = values.scenario === undefined ? RUNTIME_SCENARIOS : scenarioNames;
const hasWork = {
  micro: allCases.some(({ name }) => name.includes(values.filter)),
  macro: wanted(scenarioNames).length > 0,
  durable: wanted(storeScenarios).length > 0,
  runtimes: wanted(runtimeScenarios).length > 0,
};
if (!kinds.some((kind) => hasWork[kind])) fail(`--filter: no name contains ${values.filter}`);
const results: Results = {
  machine: machine(),
  micro: kinds.some((kind) => kind === "micro") ? micro() : [],
  macro: [
    ...(kinds.some((kind) => kind === "macro") ? await onBrokers(scenarioNames) : []),
    ...(kinds.some((kind) => kind === "durable") ? await onBrokers(storeScenarios) : []),
    ...(kinds.some((kind) => kind === "runtimes") ? await onRuntimes() : []),
  ],
};
write(results);

function onBrokers(names: readonly string[]): Promise<MacroRow[]> {
  const contenders = brokers.map((broker) => ({ name: broker, broker, runtime }));
  return macro(contenders, wanted(names));
}

/** Measures sansmq and the relay on each runtime, alternating. */
async function onRuntimes(): Promise<MacroRow[]> {
  const runtimes = { node: runtime, bun: bin("bun"), deno: `${bin("deno")} run -A` };
  const contenders = Object.entries(runtimes).flatMap(([name, command]) =>
    (["sansmq", "relay"] as const).map((broker) => ({
      name: `${broker} on ${name}`,
      broker,
      runtime: command,
    })),
  );
  const rows = await macro(contenders, wanted(runtimeScenarios));
  process.stdout.write(`${runtimeTable(rows)}\n\n`);
  return rows;
}
