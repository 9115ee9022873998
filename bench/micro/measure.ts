/**
 * Measures parts of the broker in isolation. Each implementation of each part runs in a process of
 * its own, so that the engine's optimisations for one do not affect another.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { MicroRow } from "../lib/results.ts";
import { allCases } from "./cases.ts";

export interface MicroOptions {
  /** Only cases whose name contains this text. */
  readonly filter: string;
  /** How often each case is measured, alternating with the others. */
  readonly rounds: number;
  /** Milliseconds per measurement of a case. */
  readonly millis: number;
  /** The command of the runtime. */
  readonly runtime: string;
  progress(text: string): void;
}

export function measureParts(options: MicroOptions): MicroRow[] {
  const wanted = allCases.filter(({ name }) => name.includes(options.filter));
  const groups = [...new Set(wanted.map(({ name, impl }) => JSON.stringify([name, impl])))];
  const worker = fileURLToPath(new URL("./worker.js", import.meta.url));
  const measured = new Map<string, MicroRow[]>();
  for (let round = 1; round <= options.rounds; round++) {
    for (const [n, group] of groups.entries()) {
      const [name, impl] = JSON.parse(group) as [string, string];
      const where = `round ${round} of ${options.rounds}, ${n + 1} of ${groups.length}`;
      options.progress(`micro, ${where}: ${name}, ${impl}`);
      for (const row of measureGroup(worker, name, impl, options)) {
        const key = JSON.stringify([row.name, row.impl, row.params]);
        measured.set(key, [...(measured.get(key) ?? []), row]);
      }
    }
  }
  const rows = [...measured.values()].map(middle);
  // By case, with its implementations side by side.
  const order = wanted.map(({ name, params }) => JSON.stringify([name, params]));
  const place = ({ name, params }: MicroRow): number =>
    order.indexOf(JSON.stringify([name, params]));
  return rows.sort((a, b) => place(a) - place(b));
}

function measureGroup(
  worker: string,
  name: string,
  impl: string,
  { millis, runtime }: MicroOptions,
): MicroRow[] {
  const [command = "", ...flags] = runtime.split(" ");
  const args = [...flags, worker, name, impl, String(millis)];
  const { status, stdout, stderr } = spawnSync(command, args, { maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`${name}, ${impl}: ${stderr.toString()}`);
  return JSON.parse(stdout.toString()) as MicroRow[];
}

/** The middle row; its error includes the spread of the others. */
function middle(rows: readonly MicroRow[]): MicroRow {
  const sorted = [...rows].sort((a, b) => a.nsPerOp - b.nsPerOp);
  const row = sorted[(sorted.length - 1) >> 1]!;
  const spread = (sorted.at(-1)!.nsPerOp - sorted[0]!.nsPerOp) / 2 / row.nsPerOp;
  return { ...row, rme: Math.max(row.rme, spread * 100) };
}
