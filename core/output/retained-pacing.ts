/**
 * Sends retained messages to new subscriptions at the pace of the receiver: the next ones are
 * looked up when the earlier ones have been encoded. Nothing is queued for a subscription, however
 * many messages it matches.
 */
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { DELIVERY_RETAIN } from "../message/publish-writer.ts";
import { endRetainedScan, nextRetainedScan } from "../routing/retained-scan-queue.ts";
import { deliveryOrigin, OPTIONS_QOS } from "../routing/route.ts";
import type { Session } from "../session/session.ts";
import type { ScanBudget } from "../topic/name-tree.ts";
import { UNFINISHED } from "../topic/name-tree.ts";

/**
 * Allows one connection to visit this many nodes of retained names at a time: about a millisecond.
 */
export function refillScanBudget(): void {
  budget.stepsLeft = SCAN_STEPS_MAX;
}

/**
 * Makes the next retained messages of the oldest scan ready, as many as fit one buffer and the
 * window. False: none.
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
    const needsWindow = (scan.options & OPTIONS_QOS) > 0;
    if (needsWindow && (!outbox.hasWindowRoom || outbox.queuedCount > 0)) break;
    const message = context.retained.next(scan, budget);
    if (message === UNFINISHED) {
      // The filter matches few of many names: other connections get their turn first.
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

/** The budget of the current connection. */
const budget: ScanBudget = { stepsLeft: 0 };
const SCAN_STEPS_MAX = 16_384;
/**
 * Maximum retained messages made ready at once. Few, because each takes memory, but enough to fill
 * a buffer.
 */
const SCANNED_COUNT_MAX = 64;
