/**
 * How long the store takes for a batch, as a histogram: each commit counts in one of the counters
 * below, which costs one addition and no memory.
 */
import { Counter } from "./counters.ts";

/** Counts a commit that took `millis`. */
export function countCommit(counters: Float64Array, millis: number): void {
  counters[Counter.commits]!++;
  counters[Counter.commitMillis]! += millis;
  let bucket = 0;
  while (bucket < bounds.length && millis > bounds[bucket]!) bucket++;
  counters[Counter.commitsWithin1Millis + bucket]!++;
}

/**
 * The longest times of the buckets: `commitsWithin1Millis`, `commitsWithin3Millis` and so on. Longer
 * commits count in `commitsOver10000Millis`.
 */
const bounds: readonly number[] = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000];
