/** What goes on when the store has caught up. */
import type { Millis } from "../boundary.ts";
import type { BrokerContext } from "../context.ts";
import { Parked } from "./connection.ts";
import { unpark } from "./receive.ts";
import { isStoreBehind, sendCommittedReplies } from "./reply-queue.ts";

/** Everything up to the journal's commit is durable: what waited for it goes on. */
export function resumeAfterCommit(context: BrokerContext, now: Millis): void {
  sendCommittedReplies(context);
  const awaiting = [...context.storeBlocked];
  context.storeBlocked.clear();
  for (const connection of awaiting) {
    context.sendQueue.schedule(connection.slot);
    if ((connection.parked & Parked.Journal) === 0) continue;
    if (isStoreBehind(context)) context.storeBlocked.add(connection);
    else unpark(context, connection, Parked.Journal, now);
  }
}
