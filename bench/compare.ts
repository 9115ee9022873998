/** Compares two result files: ratios, and which of them are regressions beyond the noise. */
import { caseOf } from "./lib/report.ts";
import type { Results } from "./lib/results.ts";
import { speedOf } from "./lib/results.ts";

export interface Comparison {
  readonly name: string;
  /** Speed in the second file over speed in the first. */
  readonly ratio: number;
  /** How far from 1 the ratio may be by chance. */
  readonly noise: number;
}

/** Compares the rows that both files have. */
export function compare(before: Results, after: Results): Comparison[] {
  const micro = before.micro.flatMap((old) => {
    const is = `${caseOf(old)}, ${old.impl}`;
    const now = after.micro.find((row) => `${caseOf(row)}, ${row.impl}` === is);
    if (now === undefined) return [];
    const noise = (old.rme + now.rme) / 100;
    return [{ name: is, ratio: old.nsPerOp / now.nsPerOp, noise: Math.max(noise, NOISE_MIN) }];
  });
  const macro = before.macro.flatMap((old) => {
    const now = after.macro.find((r) => r.scenario === old.scenario && r.broker === old.broker);
    if (now === undefined) return [];
    const noise = Math.max(old.noise + now.noise, NOISE_MIN);
    return [{ name: `${old.scenario}, ${old.broker}`, ratio: speedOf(now) / speedOf(old), noise }];
  });
  return [...micro, ...macro];
}

/** Names of the rows that only `one` has. */
export function onlyIn(one: Results, other: Results): string[] {
  const others = new Set(namesOf(other));
  return namesOf(one).filter((name) => !others.has(name));
}

function namesOf({ micro, macro }: Results): string[] {
  return [
    ...micro.map((row) => `${caseOf(row)}, ${row.impl}`),
    ...macro.map(({ scenario, broker }) => `${scenario}, ${broker}`),
  ];
}

export function isRegression({ ratio, noise }: Comparison): boolean {
  return ratio < 1 - noise;
}

export function comparisonTable(comparisons: readonly Comparison[]): string {
  const lines = ["| what | after ÷ before | noise | |", "|---|---:|---:|---|"];
  for (const each of comparisons) {
    const verdict = isRegression(each) ? "slower" : each.ratio > 1 + each.noise ? "faster" : "";
    lines.push(
      `| ${each.name} | ${each.ratio.toFixed(3)} | ±${each.noise.toFixed(3)} | ${verdict} |`,
    );
  }
  return lines.join("\n");
}

/** No machine has less noise than this. */
const NOISE_MIN = 0.05;
