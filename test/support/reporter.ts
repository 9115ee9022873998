/**
 * Ends the output of the tests with the reasons for skipped tests, and a last line that scripts can read:
 * `N passed, N failed, N skipped`. With `CI=true`, a skipped test counts as failed.
 */
import type { Reporter, TestModule, Vitest } from "vitest/node";
import { isCI } from "./peers.mjs";

export default class CountReporter implements Reporter {
  /** `vitest -t` skips all tests but the named ones. */
  #isFiltered = false;

  onInit({ config }: Vitest): void {
    this.#isFiltered = config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    const skipped = new Map<string, number>();
    for (const module of modules) {
      // A file that does not load, or has no test, counts as one failed test.
      if (!module.ok() && [...module.children.allTests("failed")].length === 0) failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed++;
        else if (state === "failed") failed++;
        else {
          const reason = test.meta().missing ?? (this.#isFiltered ? FILTERED : NO_REASON);
          skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
        }
      }
    }
    const lines: string[] = [];
    let skippedCount = 0;
    for (const [reason, count] of skipped) {
      const isFailure = isCI && reason !== FILTERED;
      if (isFailure) failed += count;
      else skippedCount += count;
      lines.push(
        `${isFailure ? "not skipped but failed, for CI is set," : "skipped"} ${count}: ${reason}\n`,
      );
    }
    if (failed > 0) process.exitCode = 1;
    lines.push(`${passed} passed, ${failed} failed, ${skippedCount} skipped\n`);
    // After the summary of Vitest's own reporter.
    process.once("exit", () => process.stdout.write(lines.join("")));
  }
}

const FILTERED = "not chosen by -t";
const NO_REASON = "no reason is given";
