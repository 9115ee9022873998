/** Results as Markdown tables, which are readable in a terminal too. */
import type { MacroRow, MicroRow, Results } from "./results.ts";
import { speedOf } from "./results.ts";

/** One row per scenario and broker; the ratios refer to the broker `reference`. */
export function macroTable(rows: readonly MacroRow[], reference = "mosquitto"): string {
  const hasPromises = rows.some(({ promise }) => promise !== undefined);
  const lines = [
    `| scenario | broker | per second | × ${reference} | p50 µs | p99 µs | p99.9 µs | CPU | memory MB | load |`,
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
  ];
  if (hasPromises) {
    lines[0] += " an acknowledged message is |";
    lines[1] += "---|";
  }
  for (const row of rows) {
    const base = rows.find((r) => r.scenario === row.scenario && r.broker === reference);
    const cells = [
      row.scenario,
      row.broker,
      row.msgsPerSec === 0 ? "" : Math.round(row.msgsPerSec).toLocaleString("en"),
      base === undefined ? "" : (speedOf(row) / speedOf(base)).toFixed(2),
      micros(row.p50Micros),
      micros(row.p99Micros),
      micros(row.p999Micros),
      row.cpuShare.toFixed(2),
      (row.rssBytes / 2 ** 20).toFixed(1),
      row.loadShare > 0.9 ? `${row.loadShare.toFixed(2)} load-bound` : row.loadShare.toFixed(2),
    ];
    if (hasPromises) cells.push(row.promise ?? "");
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return lines.join("\n");
}

/** One row per case, one column per implementation, and the ratio of the best to the first. */
export function microTable(rows: readonly MicroRow[]): string {
  const impls = [...new Set(rows.map((row) => row.impl))];
  const cases = [...new Set(rows.map(caseOf))];
  const lines = [
    `| case | ${impls.map((impl) => `${impl} ns`).join(" | ")} | best ÷ ${impls[0]} |`,
    `|---|${impls.map(() => "---:|").join("")}---:|`,
  ];
  for (const name of cases) {
    const found = impls.map((impl) => rows.find((r) => caseOf(r) === name && r.impl === impl));
    const times = found.map((row) => row?.nsPerOp ?? Number.POSITIVE_INFINITY);
    const cells = found.map((row) =>
      row === undefined ? "" : `${row.nsPerOp.toFixed(1)} ±${row.rme.toFixed(0)}%`,
    );
    const ratio = times.length < 2 ? "" : `${(times[0]! / Math.min(...times)).toFixed(2)}×`;
    lines.push(`| ${[name, ...cells, ratio].join(" | ")} |`);
  }
  return lines.join("\n");
}

/**
 * One row per scenario, from rows named like `sansmq on node` and `relay on bun`; for each runtime
 * sansmq and its ratio to the relay.
 */
export function runtimeTable(rows: readonly MacroRow[]): string {
  const runtimes = runtimesOf(rows);
  const lines = [
    `| scenario | ${runtimes.map((name) => `${name} | ÷ relay`).join(" | ")} |`,
    `|---|${runtimes.map(() => "---:|---:|").join("")}`,
  ];
  for (const scenario of new Set(rows.map((row) => row.scenario))) {
    const cells = runtimes.flatMap((runtime) => {
      const on = (broker: string): MacroRow | undefined =>
        rows.find((r) => r.scenario === scenario && r.broker === `${broker} on ${runtime}`);
      const [own, relay] = [on("sansmq"), on("relay")];
      if (own === undefined) return ["", ""];
      const ratio = relay === undefined ? "" : (speedOf(own) / speedOf(relay)).toFixed(2);
      return [figure(own), ratio];
    });
    lines.push(`| ${[scenario, ...cells].join(" | ")} |`);
  }
  return lines.join("\n");
}

/**
 * The main figure of a scenario, with its unit unless that is messages or connections per second.
 */
function figure(row: MacroRow): string {
  if (row.p99Micros !== null) return `p99 ${(row.p99Micros / 1000).toFixed(1)} ms`;
  if (row.msgsPerSec > 0) return Math.round(row.msgsPerSec).toLocaleString("en");
  return `${(row.rssBytes / 2 ** 20).toFixed(0)} MB`;
}

function runtimesOf(rows: readonly MacroRow[]): string[] {
  return [...new Set(rows.flatMap(({ broker }) => / on (\w+)$/.exec(broker)?.[1] ?? []))];
}

export function caseOf({ name, params }: Pick<MicroRow, "name" | "params">): string {
  const values = Object.entries(params).map(([key, value]) => `${key} ${value}`);
  return [name, ...values].join(", ");
}

/** The whole report; `chart` is the file name of the chart, or null. */
export function markdown(results: Results, chart: string | null): string {
  const { machine, micro, macro } = results;
  const facts = Object.entries(machine).map(([key, value]) => `${key} ${value}`);
  const parts = ["# Benchmark", facts.join(" · ")];
  const onRuntimes = macro.filter(({ broker }) => broker.includes(" on "));
  if (onRuntimes.length > 0) {
    parts.push(
      "## On each runtime",
      "The ratio compares with the bare relay on the same runtime: above 1 is better.",
      runtimeTable(onRuntimes),
    );
  }
  if (macro.length > onRuntimes.length) {
    parts.push("## Over real sockets");
    if (chart !== null) parts.push(`![throughput of each broker](${chart})`);
    parts.push(
      "Medians of alternating rounds. The ratio compares messages per second, the 99th percentile where " +
        "latency is measured, or memory where nothing is sent: above 1 is better than mosquitto.",
      macroTable(macro.filter((row) => !onRuntimes.includes(row))),
    );
  }
  if (micro.length > 0) {
    parts.push("## Parts", "Nanoseconds per operation, with the margin of error at 95 %.");
    const groups = [...new Set(micro.map(({ name }) => name))];
    for (const group of groups) parts.push(microTable(micro.filter(({ name }) => name === group)));
  }
  return `${parts.join("\n\n")}\n`;
}

function micros(value: number | null): string {
  return value === null ? "" : Math.round(value).toString();
}
