import { expect, test } from "vitest";
import { cases } from "./cases.ts";
import { runCase } from "./harness.ts";
import { memoryTarget } from "./memory-target.ts";

test.each(cases.map((one, index) => [one.name, one.version, one, index] as const))(
  "%s (version %i, in memory)",
  async (_, __, one, index) => {
    const result = await runCase(memoryTarget(), one, `m${index}`);
    expect(result).toEqual({ name: one.name, version: one.version, verdict: "passed", why: "" });
  },
);
