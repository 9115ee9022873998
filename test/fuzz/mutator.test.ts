import { readFileSync } from "node:fs";
import { test } from "vitest";
import { fire } from "./mutator.ts";

// `FUZZ_SEEDS=100 FUZZ_FROM=1000 npx vitest run test/fuzz` runs more seeds than these.
const from = Number(process.env["FUZZ_FROM"] ?? 1);
const count = Number(process.env["FUZZ_SEEDS"] ?? 10);
const inputs = Number(process.env["FUZZ_INPUTS"] ?? 2000);
const failedOnce = readFileSync(new URL("./seeds.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .map(Number);
const seeds = [...failedOnce, ...Array.from({ length: count }, (_, n) => from + n)];

test.each(seeds)(
  "seed %i: healthy clients are served during random traffic, and no memory is leaked",
  (seed) => {
    fire(seed, inputs);
  },
  600_000,
);
