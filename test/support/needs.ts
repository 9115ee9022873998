/** Skips tests, with the reason, if a program that they need is missing. */
import { missing } from "./peers.mjs";

declare module "vitest" {
  interface TaskMeta {
    /** Why the test is skipped; the reporter prints it at the end. */
    missing?: string;
  }
}

/**
 * Options of a test, or of a group of tests with its hooks, that needs these peers of peers.mjs:
 * `describe("in Chromium", needs("Chromium"), () => …)`.
 */
export function needs(...names: readonly string[]): { skip?: true; meta?: { missing: string } } {
  for (const name of names) {
    const reason = reasonOf(name);
    if (reason !== null) return { skip: true, meta: { missing: reason } };
  }
  return {};
}

/** The results of the lookups: each peer is looked up once in a test file. */
const reasons = new Map<string, string | null>();

function reasonOf(name: string): string | null {
  const known = reasons.get(name);
  if (known !== undefined) return known;
  const reason = missing(name);
  reasons.set(name, reason);
  return reason;
}
