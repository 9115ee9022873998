/** The batches of the journal: whether output waits for one, and the answers of the store. */
import { assert } from "../base/assert.ts";
import type { Seq } from "../boundary.ts";
import { JournalState } from "../boundary.ts";
import type { BrokerContext } from "../context.ts";
import { countCommit } from "../observe/commit-times.ts";
import { Counter } from "../observe/counters.ts";

/**
 * Everything up to `seq` is durable, which took `millis` for the last batch; below 0: no batch was
 * polled.
 */
export function commitWrites(context: BrokerContext, seq: Seq, millis: number): void {
  const { journal, counters, pager } = context;
  // The time of a batch that had to be tried again is that of the pauses.
  if (!journal.isFull && millis >= 0) countCommit(counters, millis);
  journal.isFull = false;
  counters[Counter.storeFull] = 0;
  journal.commit(seq);
  pager?.pageOutAfterCommit();
}

/** A batch up to `seq` could not be stored. `retry`: the store is full, and the host tries again. */
export function failCommit({ journal, counters }: BrokerContext, seq: Seq, retry: boolean): void {
  assert(seq > journal.committed, "a committed write does not fail");
  if (!retry) journal.hasFailed = true;
  journal.isFull = retry;
  counters[Counter.storeFull] = Number(retry);
  counters[Counter.commitsFailed]!++;
}

export function journalStateOf({
  journal,
  gatedConnections,
  storeBlocked,
}: BrokerContext): JournalState {
  if (!journal.hasOpen) return JournalState.Empty;
  const isAwaited = gatedConnections.size > 0 || storeBlocked.size > 0;
  return isAwaited ? JournalState.Awaited : JournalState.Unawaited;
}
