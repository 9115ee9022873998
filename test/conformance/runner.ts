/** Runs cases against a target, several at once, each on topics of its own. */
import type { Case, Result, Target } from "./harness.ts";
import { runCase } from "./harness.ts";

export interface RunOptions {
  readonly cases: readonly Case[];
  readonly atOnce?: number;
  /** Called after each case. */
  handleResult?(result: Result, doneCount: number): void;
}

export async function runCases(target: Target, options: RunOptions): Promise<Result[]> {
  const { cases, atOnce = 16 } = options;
  const results: Result[] = [];
  // The broker may have kept topics and sessions of an earlier run: this one uses other names.
  const run = Math.floor(Math.random() * 36 ** 5).toString(36);
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < cases.length; index = next++) {
      const result = await runCase(target, cases[index]!, `${run}x${index}`, CASE_MILLIS_MAX);
      results[index] = result;
      options.handleResult?.(result, ++done);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

/** A case that does not end has failed. */
const CASE_MILLIS_MAX = 60_000;
