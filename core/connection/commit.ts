/** What goes on when the store has caught up. */
import type { Millis } from "../boundary.ts";
import { isBehind, openAnswers } from "./answer.ts";
import { Parked } from "./connection.ts";
import type { Parts } from "./parts.ts";
import { unpark } from "./receive.ts";

/** Everything up to the journal's commit is durable: what waited for it goes on. */
export function openGates(parts: Parts, now: Millis): void {
  openAnswers(parts);
  const awaiting = [...parts.awaiting];
  parts.awaiting.clear();
  for (const connection of awaiting) {
    parts.dirty.mark(connection.slot);
    if ((connection.parked & Parked.Journal) === 0) continue;
    if (isBehind(parts)) parts.awaiting.add(connection);
    else unpark(parts, connection, Parked.Journal, now);
  }
}
