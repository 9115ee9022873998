/**
 * Retained messages that are still to be sent to new subscriptions: filter after filter, in the order of the
 * subscriptions.
 *
 * A filter that is subscribed to again under the same Subscription Identifier begins anew; under another one the new
 * scan stands behind the one that is going on, so that what each identifier asked for comes whole.
 */
import type { RetainedScan } from "../message/retained.ts";
import type { Session } from "../session/session.ts";
import { identifierOf, subscriptionOptions } from "./route.ts";

/** A subscription asks for retained messages. */
export function addRetainedScan(session: Session, scan: RetainedScan): void {
  const { filter, options } = scan;
  const scans = session.retainedScans ?? new Map<string, RetainedScan[]>();
  session.retainedScans = scans;
  const identifier = identifierOf(options);
  const before = scans.get(filter) ?? [];
  const others = before.filter((other) => identifierOf(other.options) !== identifier);
  // Where it begins anew, the other filters are first.
  if (others.length === 0) scans.delete(filter);
  scans.set(filter, [...others.slice(1 - SCANS_MAX), scan]);
}

/** The subscription has other options now: what is still to be sent keeps to them, under its identifier. */
export function renewRetainedScans(session: Session, filter: string, options: number): void {
  for (const scan of session.retainedScans?.get(filter) ?? []) {
    scan.options = subscriptionOptions(options, identifierOf(scan.options));
  }
}

/** What is to be sent next, or null. */
export function nextRetainedScan({ retainedScans: scans }: Session): RetainedScan | null {
  return scans?.values().next().value?.[0] ?? null;
}

/** All of the next one has been sent. */
export function endRetainedScan(session: Session, { filter }: RetainedScan): void {
  const scans = session.retainedScans!.get(filter)!;
  scans.shift();
  if (scans.length === 0) dropRetainedScans(session, filter);
}

/** Nothing of a subscription is to be sent any more. */
export function dropRetainedScans(session: Session, filter: string): void {
  const { retainedScans: scans } = session;
  if (scans?.delete(filter) === true && scans.size === 0) session.retainedScans = null;
}

/** Of one filter: a client that subscribes again and again, under ever new identifiers, is sent the last so many. */
const SCANS_MAX = 8;
