/** Results as rows: written as JSON, compared and shown. */
import { median } from "./statistics.ts";

export interface MacroRow {
  readonly scenario: string;
  readonly broker: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** What an acknowledgement of this broker promises; only in a comparison of stores. */
  readonly promise?: string;
  readonly msgsPerSec: number;
  readonly p50Micros: number | null;
  readonly p99Micros: number | null;
  readonly p999Micros: number | null;
  readonly cpuShare: number;
  readonly rssBytes: number;
  /** Processor time of the load over elapsed time; above 0.9, the load is the bottleneck. */
  readonly loadShare: number;
  /** Half the difference of the best and the worst round, over the median. */
  readonly noise: number;
}

export interface MicroRow {
  readonly name: string;
  readonly impl: string;
  readonly params: Readonly<Record<string, string | number>>;
  readonly nsPerOp: number;
  readonly opsPerSec: number;
  /** Relative margin of error at 95 %, in percent. */
  readonly rme: number;
}

export interface Results {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly micro: readonly MicroRow[];
  readonly macro: readonly MacroRow[];
}

/** Whether a JSON value has the result fields that `compare` needs. */
export function isResults(value: unknown): value is Results {
  const { micro, macro } = (value ?? {}) as Partial<Results>;
  if (!Array.isArray(micro) || !Array.isArray(macro)) return false;
  return (
    (micro as readonly Partial<MicroRow>[]).every(
      (row) => typeof row?.nsPerOp === "number" && typeof row.params === "object",
    ) &&
    (macro as readonly Partial<MacroRow>[]).every(
      (row) => typeof row?.msgsPerSec === "number" && typeof row.scenario === "string",
    )
  );
}

/** Combines the rows of several rounds: the median of each column. */
export function medianRow(rows: readonly MacroRow[]): MacroRow {
  const first = rows[0]!;
  const middle = (read: (row: MacroRow) => number | null): number =>
    median(rows.map((row) => read(row) ?? Number.NaN));
  const optional = (read: (row: MacroRow) => number | null): number | null =>
    read(first) === null ? null : middle(read);
  const speeds = rows.map(speedOf);
  return {
    scenario: first.scenario,
    broker: first.broker,
    params: first.params,
    ...(first.promise === undefined ? {} : { promise: first.promise }),
    msgsPerSec: middle((row) => row.msgsPerSec),
    p50Micros: optional((row) => row.p50Micros),
    p99Micros: optional((row) => row.p99Micros),
    p999Micros: optional((row) => row.p999Micros),
    cpuShare: middle((row) => row.cpuShare),
    rssBytes: middle((row) => row.rssBytes),
    loadShare: middle((row) => row.loadShare),
    noise: (Math.max(...speeds) - Math.min(...speeds)) / 2 / median(speeds),
  };
}

/** The speed of a scenario, larger is better: from its latency, its rate, or else its memory. */
export function speedOf(row: Pick<MacroRow, "p99Micros" | "msgsPerSec" | "rssBytes">): number {
  if (row.p99Micros !== null) return 1e6 / row.p99Micros;
  return row.msgsPerSec > 0 ? row.msgsPerSec : 1e12 / row.rssBytes;
}
