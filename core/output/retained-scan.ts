/**
 * Retained messages for new subscriptions, paced by their receiver: the next ones are looked up when the earlier ones
 * have left, so that nothing is queued for a subscription however many messages it matches.
 */
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { DELIVERY_RETAIN } from "../message/publish-writer.ts";
import { endRetainedScan, nextRetainedScan } from "../routing/retained-scans.ts";
import { deliveryOrigin, OPTIONS_QOS } from "../routing/route.ts";
import type { Session } from "../session/session.ts";
import type { ScanBudget } from "../topic/name-tree.ts";
import { UNFINISHED } from "../topic/name-tree.ts";

/** How many levels of retained names may be looked at for one connection at a time: about a millisecond. */
export function refillScanBudget(): void {
  budget.stepsLeft = SCAN_STEPS_MAX;
}

/**
 * Makes the next retained messages of the oldest scan ready, as many as leave in one go and as the window takes.
 * False: there are none.
 */
export function offerRetained(
  context: BrokerContext,
  connection: Connection,
  session: Session,
): boolean {
  const { outbox } = session;
  let count = 0;
  let scan = nextRetainedScan(session);
  while (scan !== null && count < SCANNED_COUNT_MAX) {
    const isWindowed = (scan.options & OPTIONS_QOS) > 0;
    if (isWindowed && (!outbox.hasWindow || outbox.queuedCount > 0)) break;
    const message = context.retained.next(scan, budget);
    if (message === UNFINISHED) {
      // Filters that match little among many names: the others first.
      context.retainedScans.add(connection);
      break;
    }
    if (message === 0) {
      endRetainedScan(session, scan);
      scan = nextRetainedScan(session);
      continue;
    }
    // [MQTT-3.3.1-8]
    context.router.offer(
      session,
      message,
      scan.options,
      deliveryOrigin([scan.options]),
      DELIVERY_RETAIN,
    );
    count++;
  }
  return count > 0;
}

/** Of the connection at hand. */
const budget: ScanBudget = { stepsLeft: 0 };
const SCAN_STEPS_MAX = 16_384;
/** Retained messages made ready at once: few, for each waits in memory, but enough to fill a buffer. */
const SCANNED_COUNT_MAX = 64;
