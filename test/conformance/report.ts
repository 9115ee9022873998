/** The report: each statement with its verdict. */
import type { Result, Verdict } from "./harness.ts";
import type { Statement } from "./statements.ts";
import { citedIn, statements } from "./statements.ts";

export type StatementVerdict = Verdict | "no case";

export interface StatementResult {
  readonly id: string;
  readonly binds: Statement["binds"];
  readonly asks: string;
  /** Failed if any case failed; otherwise passed if a case passed. */
  readonly verdict: StatementVerdict;
  /** Why there is no case, or why cases did not pass. */
  readonly why: readonly string[];
}

export interface Report {
  readonly target: string;
  readonly passed: number;
  readonly failed: number;
  readonly notSupported: number;
  readonly statements: readonly StatementResult[];
  readonly cases: readonly Result[];
}

export function makeReport(
  target: string,
  results: readonly Result[],
  versions: readonly number[],
): Report {
  const count = (verdict: Verdict): number => results.filter((r) => r.verdict === verdict).length;
  return {
    target,
    passed: count("passed"),
    failed: count("failed"),
    notSupported: count("not supported"),
    statements: statements
      .filter(({ version }) => versions.includes(version))
      .map((statement) => judged(statement, results)),
    cases: results,
  };
}

function judged(
  { id, binds, asks, unseen }: Statement,
  results: readonly Result[],
): StatementResult {
  const its = results.filter(({ name }) => citedIn(name).includes(id));
  const verdicts = its.map(({ verdict }) => verdict);
  const order: readonly Verdict[] = ["failed", "passed", "not supported"];
  const verdict = order.find((one) => verdicts.includes(one)) ?? "no case";
  const why = its.filter((one) => one.why !== "").map((one) => `${titleOf(one.name)}: ${one.why}`);
  const none = unseen ?? "needs a broker that is set up for it: see the tests of the core";
  return { id, binds, asks, verdict, why: verdict === "no case" ? [none] : why };
}

/** The report as Markdown: failures first, then every statement. */
export function renderReport(report: Report, command: string): string {
  const { passed, failed, notSupported } = report;
  const bad = report.cases.filter(({ verdict }) => verdict === "failed");
  const skipped = report.cases.filter(({ verdict }) => verdict === "not supported");
  const list = (title: string, cases: readonly Result[]): string[] =>
    cases.length === 0
      ? []
      : [
          `## ${title}`,
          "",
          ...cases.map(
            ({ name, version, why }) =>
              `- ${nameOf(version)} ${titleOf(name)}: ${oneLine(why)} (${citedIn(name).join(", ")})`,
          ),
          "",
        ];
  const rows = report.statements.map(
    ({ id, binds, asks, verdict, why }) =>
      `| ${id} | ${binds} | ${asks} | ${verdict} | ${oneLine(verdict === "passed" ? "" : why.join("; "))} |`,
  );
  return [
    "# Conformance",
    "",
    `Target: ${report.target}. Cases: ${passed} passed, ${failed} failed, ${notSupported} not supported.`,
    "",
    `Made by \`${command}\`. What the columns and verdicts mean is in`,
    "[test/conformance/README.md](../test/conformance/README.md).",
    "",
    ...list("Failed", bad),
    ...list("Not supported", skipped),
    "## Statements",
    "",
    "| statement | binds | asks | verdict | |",
    "|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function nameOf(version: number): string {
  return version === 5 ? "5.0" : "3.1.1";
}

/** A case's name without its statements. */
export function titleOf(name: string): string {
  return name.replaceAll(/\[[^\]]*\] ?/g, "");
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|");
}
