/**
 * How long the store takes for a batch, as a histogram: each commit counts in the counter of its
 * bucket, which costs one addition and no memory.
 */
import { COMMIT_BUCKETS_START, Counter, commitMillisBounds } from "./counters.ts";

/** Counts a commit that took `millis`. */
export function countCommit(counters: Float64Array, millis: number): void {
  counters[Counter.commits]!++;
  counters[Counter.commitMillis]! += millis;
  let bucket = 0;
  while (bucket < commitMillisBounds.length && millis > commitMillisBounds[bucket]!) bucket++;
  counters[COMMIT_BUCKETS_START + bucket]!++;
}
