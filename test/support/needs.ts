/** What tests need of other people's programs: skipped, with the reason, where one is missing. */
import { missing } from "./peers.mjs";

declare module "vitest" {
  interface TaskMeta {
    /** Why the test is skipped; the reporter says it at the end. */
    missing?: string;
  }
}

/**
 * Options of a test, or of a group of tests with its hooks, that needs all of these peers, by their names in peers.mjs:
 * `describe("in Chromium", needs("Chromium"), () => …)`.
 */
export function needs(...names: readonly string[]): { skip?: true; meta?: { missing: string } } {
  for (const name of names) {
    const reason = reasonOf(name);
    if (reason !== null) return { skip: true, meta: { missing: reason } };
  }
  return {};
}

/** Each is looked for once in a file of tests. */
const reasons = new Map<string, string | null>();

function reasonOf(name: string): string | null {
  const known = reasons.get(name);
  if (known !== undefined) return known;
  const reason = missing(name);
  reasons.set(name, reason);
  return reason;
}
