// The benchmark's command: it measures, writes its files, and compares them.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { Results } from "../bench/lib/results.ts";
import { topicCases } from "../bench/micro/topics.ts";
import { needs } from "./support/needs.ts";
import { run } from "./support/process.ts";

const script = fileURLToPath(new URL("../dist/bench/run.js", import.meta.url));
const bench = (...args: string[]) => run(process.execPath, script, ...args).finished;

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "sansmq-bench-"));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

test("micro writes rows and a report", async () => {
  const json = join(folder(), "r.json");
  const args = ["micro", "--filter", "queue", "--time", "5", "--rounds", "1", "--json", json];
  const { code, stdout } = await bench(...args);
  expect(code).toBe(0);
  expect(stdout).toContain("| queue, qos 1 |");
  const { micro, macro } = JSON.parse(readFileSync(json, "utf8")) as Results;
  expect(macro).toEqual([]);
  expect(micro.map(({ name, impl, params }) => [name, impl, params])).toEqual([
    ["queue", "ts", { qos: 0 }],
    ["queue", "ts", { qos: 1 }],
  ]);
  for (const { nsPerOp, opsPerSec } of micro) expect(nsPerOp * opsPerSec).toBeCloseTo(1e9, -3);
  expect(readFileSync(json.replace(".json", ".md"), "utf8")).toContain("## Parts");
});

test("startup measures an empty process, the command, and npx", async () => {
  const { code, stdout } = await bench("startup", "--rounds", "1");
  const rows = ["node -e 0", "sansmq", "npx of node -e 0", "npx sansmq"];
  expect(stdout).toMatch(new RegExp(`${rows.map((row) => `\\| ${row} \\| \\d+ .*\n`).join("")}$`));
  expect(code).toBe(0);
});

test("match: a topic of kind hit reaches a subscriber, and a topic of kind miss reaches none", () => {
  const cases = topicCases.filter(
    ({ name, params }) => name === "match" && params["filters"] !== 1_000_000,
  );
  expect(cases.length).toBe(3 * 2 * 4 * 2);
  for (const { params, ops, prepare } of cases) {
    expect([params, prepare()()]).toEqual([params, params["topic"] === "hit" ? ops : 0]);
  }
});

test(
  "macro compares brokers over real sockets, and draws a chart",
  needs("mosquitto", "Linux"),
  async () => {
    const json = join(folder(), "r.json");
    const flags = ["--rounds", "1", "--seconds", "0.2", "--json", json];
    const brokers = ["--scenario", "pairs-qos1", "--broker", "mosquitto,sansmq,relay"];
    const { code, stdout } = await bench("macro", ...brokers, ...flags);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\| pairs-qos1 \| sansmq \| [\d,]+ \|/);
    const { macro } = JSON.parse(readFileSync(json, "utf8")) as Results;
    // The relay does not support QoS 1.
    expect(macro.map(({ broker }) => broker)).toEqual(["mosquitto", "sansmq"]);
    for (const row of macro) {
      expect(row.msgsPerSec).toBeGreaterThan(100);
      expect(row.rssBytes).toBeGreaterThan(1e6);
      expect(row.loadShare).toBeGreaterThan(0);
    }
    expect(readFileSync(json.replace(".json", ".svg"), "utf8")).toMatch(/^<svg .*<\/svg>\n$/s);
  },
);

test(
  "durable compares brokers with a store, and says what an acknowledged message is with each",
  needs("Linux"),
  async () => {
    const json = join(folder(), "r.json");
    const flags = ["--rounds", "1", "--seconds", "0.6", "--json", json];
    const brokers = ["--broker", "sansmq-stored,sansmq-discard,aedes-level,bare-sync"];
    const scenarios = ["--scenario", "kept-qos1,alone"];
    const { code, stdout } = await bench("durable", ...brokers, ...scenarios, ...flags);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /\| kept-qos1 \| sansmq-stored \| [\d,]+ \|.*\| synced to the disk \|\n/,
    );
    const { macro } = JSON.parse(readFileSync(json, "utf8")) as Results;
    expect(macro.map(({ scenario, broker }) => `${scenario} ${broker}`)).toEqual([
      ...["kept-qos1 sansmq-stored", "kept-qos1 sansmq-discard", "kept-qos1 aedes-level"],
      ...["alone sansmq-stored", "alone sansmq-discard", "alone aedes-level", "alone bare-sync"],
    ]);
    for (const row of macro) expect(row.msgsPerSec).toBeGreaterThan(0);
  },
);

test(
  "runtimes compares sansmq with the relay of each runtime",
  needs("Bun", "Deno", "Linux"),
  async () => {
    const json = join(folder(), "r.json");
    const flags = ["--rounds", "1", "--seconds", "0.2", "--json", json];
    const { code, stdout } = await bench("runtimes", "--scenario", "pairs-qos0", ...flags);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\| pairs-qos0 \|( [\d,]+ \| \d+\.\d\d \|){3}\n/);
    const { macro, machine } = JSON.parse(readFileSync(json, "utf8")) as Results;
    expect(macro.map(({ broker }) => broker)).toEqual(
      ["node", "bun", "deno"].flatMap((name) => [`sansmq on ${name}`, `relay on ${name}`]),
    );
    expect(Object.keys(machine)).toEqual(expect.arrayContaining(["runtime", "bun", "deno"]));
  },
);

test("compare prints ratios, and exits with 1 if a result is slower by more than the noise", async () => {
  const made = folder();
  const file = (name: string, nsPerOp: number, msgsPerSec: number): string => {
    const micro = {
      name: "x",
      impl: "ts",
      params: { n: 1 },
      nsPerOp,
      opsPerSec: 1e9 / nsPerOp,
      rme: 3,
    };
    const latency = { p50Micros: null, p99Micros: null, p999Micros: null };
    const rest = { params: {}, cpuShare: 1, rssBytes: 1e7, loadShare: 0.5, noise: 0.02 };
    const macro = { scenario: "s", broker: "b", msgsPerSec, ...latency, ...rest };
    const path = join(made, name);
    writeFileSync(path, JSON.stringify({ machine: {}, micro: [micro], macro: [macro] }));
    return path;
  };
  const [before, same, slower] = [
    file("a", 10, 1e6),
    file("b", 10.4, 0.97e6),
    file("c", 10, 0.9e6),
  ];
  const fine = await bench("compare", before, same);
  expect(fine.code).toBe(0);
  expect(fine.stdout).toContain("| x, n 1, ts | 0.962 | ±0.060 |");
  expect(fine.stdout).toContain("0 of 2 slower");
  const worse = await bench("compare", before, slower);
  expect(worse.code).toBe(1);
  expect(worse.stdout).toMatch(/\| s, b \| 0\.900 \| ±0\.050 \| slower \|/);
});

test("compare reports unreadable files and rows of one file only, and exits with 2 if no rows can be compared", async () => {
  const made = folder();
  const file = (name: string, text: string): string => {
    const path = join(made, name);
    writeFileSync(path, text);
    return path;
  };
  const results = (...names: string[]): string => {
    const row = { impl: "ts", params: {}, nsPerOp: 10, opsPerSec: 1e8, rme: 3 };
    return JSON.stringify({
      machine: {},
      micro: names.map((name) => ({ name, ...row })),
      macro: [],
    });
  };
  const good = file("good", results("a", "b"));
  const bad = [
    join(made, "none"),
    file("text", "no"),
    file("{}", "{}"),
    file("else", results("c")),
  ];
  for (const other of bad) {
    const { code, stderr } = await bench("compare", good, other);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^bench: .*\n$/);
  }
  const { code, stdout } = await bench("compare", good, file("more", results("a", "c")));
  expect(code).toBe(0);
  expect(stdout).toMatch(/^only in .*good: b, ts$/m);
  expect(stdout).toMatch(/^only in .*more: c, ts$/m);
  expect(stdout).toContain("0 of 1 slower");
});

test("--runtime may have flags; a runtime that does not start, and a filter without a match, are reported at once", async () => {
  const json = join(folder(), "r.json");
  const flags = ["--filter", "queue", "--time", "5", "--rounds", "1", "--json", json];
  const runtime = `${process.execPath} --no-warnings`;
  expect((await bench("micro", "--runtime", runtime, ...flags)).code).toBe(0);
  const missing = await bench("micro", "--runtime", "no-such-runtime", ...flags);
  expect(missing).toMatchObject({
    code: 2,
    stderr: "bench: --runtime: no-such-runtime does not run\n",
  });
  expect((await bench("micro", "--filter", "nothing")).code).toBe(2);
});

test("an unknown command or option is reported in one line with the usage, and exit code 2", async () => {
  for (const args of [
    ["--scenario", "none"],
    ["nano"],
    ["--rounds", "0"],
    ["--rounds", "1.5"],
    ["--what"],
  ]) {
    const { code, stderr } = await bench(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^bench: .*\n\nnpm run bench/);
  }
});
