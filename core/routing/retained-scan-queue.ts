/**
 * The retained scans of a session: retained messages still to be sent to new subscriptions, filter
 * after filter, in the order of the subscriptions.
 *
 * A client may subscribe again to a filter before its scan is complete. Under the same Subscription
 * Identifier the scan starts over. Under another one the new scan waits for the current one, so
 * that each SUBSCRIBE gets all its retained messages.
 */
import type { RetainedScan } from "../message/retained.ts";
import type { Session } from "../session/session.ts";
import { identifierOf, subscriptionOptions } from "./route.ts";

/** Adds the scan of a new subscription. */
export function addRetainedScan(session: Session, scan: RetainedScan): void {
  const { filter, options } = scan;
  const scans = session.retainedScans ?? new Map<string, RetainedScan[]>();
  session.retainedScans = scans;
  const identifier = identifierOf(options);
  const before = scans.get(filter) ?? [];
  const others = before.filter((other) => identifierOf(other.options) !== identifier);
  // A filter that starts over moves behind the other filters.
  if (others.length === 0) scans.delete(filter);
  scans.set(filter, [...others.slice(1 - SCANS_MAX), scan]);
}

/**
 * Applies changed subscription options to the scans of a filter; each scan keeps its Subscription
 * Identifier.
 */
export function renewRetainedScans(session: Session, filter: string, options: number): void {
  for (const scan of session.retainedScans?.get(filter) ?? []) {
    scan.options = subscriptionOptions(options, identifierOf(scan.options));
  }
}

/** The scan to continue next, or null. */
export function nextRetainedScan({ retainedScans }: Session): RetainedScan | null {
  return retainedScans?.values().next().value?.[0] ?? null;
}

/** Removes the current scan, which is complete. */
export function endRetainedScan(session: Session, { filter }: RetainedScan): void {
  const scans = session.retainedScans!.get(filter)!;
  scans.shift();
  if (scans.length === 0) dropRetainedScans(session, filter);
}

/** Drops the scans of a subscription that has ended. */
export function dropRetainedScans(session: Session, filter: string): void {
  const { retainedScans } = session;
  if (retainedScans?.delete(filter) === true && retainedScans.size === 0) {
    session.retainedScans = null;
  }
}

/**
 * Scans of one filter: a client that subscribes again and again under new identifiers gets only the
 * latest of them.
 */
const SCANS_MAX = 8;
