// Whole brokers under clients, a network, a store and a clock that fail, each from a seed. test/README.md tells what is checked.
import { describe, expect, test } from "vitest";
import { plantedFaults } from "./planted-faults.ts";
import { reportOf } from "./report.ts";
import { run } from "./run.ts";

/** By hand: `npm run simulate`, which is faster. */
const seeds = Array.from({ length: 40 }, (_, n) => n + 1);
const steps = 10_000;

test.each(seeds)(
  "no acknowledged message is lost, repeated or out of order, and nothing is left, seed %i",
  (seed) => {
    const { error } = run({ seed, steps });
    if (error === null) return;
    throw new Error(
      reportOf({
        ...{ commit: "of this checkout", seed, steps, extra: [] },
        run: (count, keepsText) => run({ seed, steps: count, keepsText }),
      }),
    );
  },
);

test("a seed gives the same run each time, and another seed another run", () => {
  const [first, again, other] = [3, 3, 4].map((seed) => run({ seed, steps: 5000 }));
  expect(again!.hash).toBe(first!.hash);
  expect(other!.hash).not.toBe(first!.hash);
});

describe("the seeds find a broker that", () => {
  test.each(Object.keys(plantedFaults))("%s", (name) => {
    const found = seeds.find((seed) => {
      return run({ seed, steps, fault: plantedFaults[name]!() }).error !== null;
    });
    expect(found).toBeDefined();
  });
});
