// The counters of the broker: their indices, names and meanings.
import { expect, test } from "vitest";
import { Counter, counterNames, counterTable } from "../../../core/mod.ts";

test("the counters have consecutive indices in the order of their names, and a meaning each", () => {
  expect(counterNames.map((name) => Counter[name])).toEqual(counterNames.map((_, index) => index));
  expect(Object.keys(counterTable).sort()).toEqual([...counterNames].sort());
});

test("the buckets of commit times follow one another without gaps", () => {
  const buckets = counterNames.filter((name) => /^commits(Within|Over)/.test(name));
  expect(buckets).toHaveLength(10);
  const bounds = buckets.map((name) => Number(/\d+/.exec(name)![0]));
  for (const [i, name] of buckets.slice(1, -1).entries()) {
    const limits = `more than ${bounds[i]} and at most ${bounds[i + 1]} ms`;
    expect(counterTable[name].help).toBe(`Commits that took ${limits}`);
  }
  expect(counterTable.commitsWithin1Millis.help).toBe("Commits that took at most 1 ms");
  expect(counterTable.commitsOver10000Millis.help).toBe("Commits that took more than 10000 ms");
});
