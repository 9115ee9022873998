/** The effects on a session when its connection or the session itself ends. */
import type { Millis } from "../boundary.ts";
import type { BrokerContext } from "../context.ts";
import { isPaged } from "../message/paged-messages.ts";
import { Counter } from "../observe/counters.ts";
import type { Session, Will } from "../session/session.ts";
import { publishDelayedWill, publishOrDelayWill, publishWill } from "./will.ts";

/**
 * The client disconnected: keeps the session until it expires, or ends it at once. `will` is the
 * will of the connection.
 */
export function detachSession(context: BrokerContext, session: Session, will: Will | null): void {
  session.connSlot = 0;
  context.counters[Counter.clientsConnected]!--;
  if (session.expiryMillis === 0) {
    endSession(context, session);
    publishWill(context, session, will);
    return;
  }
  session.outbox.detach(context.limits.queueQos0 === 1);
  const endsAt = (context.now + session.expiryMillis) as Millis;
  context.sessions.scheduleExpiry(session, endsAt);
  session.record?.putSession(context.epochMillis + endsAt, session.expiryMillis);
  publishOrDelayWill(context, session, will);
}

/**
 * Ends a session with everything that belongs to it. Publishes its delayed will, and offers the
 * undelivered messages of shared subscriptions to other members.
 */
export function endSession(context: BrokerContext, session: Session): void {
  const { messages, router, records } = context;
  const paged = context.pager?.paged ?? null;
  const unfinished = [...session.outbox.unfinishedShared()];
  // Until another member has a reference. The record of a paged message must stay, too.
  for (const { message } of unfinished) {
    if (isPaged(message)) paged!.retain(message);
    else messages.retain(message);
  }
  for (const [filter] of session.subscriptions ?? []) {
    router.unsubscribe(filter, session);
    session.record?.removeSubscription(filter);
  }
  session.clearReceipts();
  session.record?.removeSession();
  session.subscriptions = null;
  session.retainedScans = null;
  session.outbox.clear();
  context.sessions.remove(session);
  for (const { message, group } of unfinished) {
    router.handOver(group, message, paged);
    if (isPaged(message)) records!.releasePaged(message);
    else messages.release(message);
  }
  publishDelayedWill(context, session);
}
