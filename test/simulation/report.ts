/** The report of a failed run: the command that repeats it with as few steps as possible, and what happened. */
import type { RunResult } from "./run.ts";
import { Violation } from "./violation.ts";

export interface FailedRun {
  readonly commit: string;
  readonly seed: number;
  readonly steps: number;
  /** More arguments of the command. */
  readonly extra: readonly string[];
  run(steps: number, keepsText: boolean): RunResult;
}

export function reportOf(failed: FailedRun): string {
  const steps = fewestSteps(failed);
  const { error, trace } = failed.run(steps, true);
  const command = ["npm run simulate -- --seed", failed.seed, "--steps", steps, ...failed.extra];
  const about = error instanceof Violation ? error.about : 0;
  const lines = trace.lines!;
  const story = about === 0 ? [] : storyOf(lines, about);
  const text = error instanceof Violation ? error.message : (error?.stack ?? "not repeated");
  return [
    `seed ${failed.seed} failed at step ${trace.step}: ${text}${about === 0 ? "" : ` (message ${about})`}`,
    `commit ${failed.commit}`,
    `repeat ${command.join(" ")}`,
    ...(story.length === 0 ? [] : [`message ${about}:`, ...story.slice(-STORY_LINES_MAX)]),
    "last:",
    ...lines.slice(-LAST_LINES_MAX),
    "",
  ].join("\n");
}

/** The run stops at the failure, and a run that is cut shorter often fails when it settles. */
function fewestSteps({ steps, run }: FailedRun): number {
  const whole = run(steps, false);
  const kind = kindOf(whole.error);
  let fails = Math.min(steps, whole.trace.step + 1);
  let passes = 0;
  while (fails - passes > 1) {
    const middle = (fails + passes) >> 1;
    if (kindOf(run(middle, false).error) === kind) fails = middle;
    else passes = middle;
  }
  return kindOf(run(fails, false).error) === kind ? fails : steps;
}

/** What an error says, apart from its numbers. */
function kindOf(error: Error | null): string {
  return error === null ? "" : error.message.replaceAll(/\d+/g, "");
}

/** The lines about a message, and those about processes, which may concern it. */
function storyOf(lines: readonly string[], message: number): string[] {
  const isAbout = new RegExp(`(message|will) ${message}\\b`);
  const first = lines.findIndex((line) => isAbout.test(line));
  return lines.filter((line, at) => {
    return isAbout.test(line) || (at > first && first >= 0 && / process /.test(line));
  });
}

const STORY_LINES_MAX = 40;
const LAST_LINES_MAX = 30;
