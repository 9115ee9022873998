/** The examples of the documentation run unchanged on the built package. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const vitest = "node_modules/vitest/vitest.mjs";
/** Vitest's environment for a process of its own, without that of this run. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_TEST_CONTEXT|TEST$)/.test(name)),
);

test.each([
  ["vitest", [vitest, "run", "--root", "docs/examples/testing"], /1 passed/],
  ["node:test", ["--test", "docs/examples/testing/node.test.mjs"], /pass [12]\n/],
] as const)(
  "the example of an application's test with %s passes",
  async (_, args, passes) => {
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env });
    expect(stdout).toMatch(passes);
  },
  120_000,
);
