/**
 * Connections that end once their output has been sent. Half-close: a peer that writes no more may still
 * read. It gets the replies to its packets and its pending messages, and then the connection ends.
 */
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { dropGatedReplies } from "./reply-queue.ts";
import { endConnection } from "./transitions.ts";

/** The peer writes no more. The next poll of its output ends the connection if nothing is owed. */
export function handlePeerEnd({ sendQueue }: BrokerContext, connection: Connection): void {
  connection.hasPeerEnded = true;
  sendQueue.schedule(connection.slot);
}

/** Ends a closing connection: all its output has been polled, unless replies still wait for a commit. */
export function finishClosing(context: BrokerContext, connection: Connection): void {
  const { journal } = context;
  if (connection.commitGate !== null && connection.commitGate.count > 0) {
    if (!journal.hasFailed && !journal.isFull) return;
    // The replies that wait would not come before the broker has shut down.
    dropGatedReplies(context, connection);
  }
  endConnection(context, connection, "flushed", connection.endReason);
}

/**
 * Ends a connection whose peer writes no more, once all output for it has been sent. `hasOutput`:
 * the current call returns output for it.
 */
export function endIfNothingIsOwed(
  context: BrokerContext,
  connection: Connection,
  hasOutput: boolean,
): void {
  const { storeBlocked, retainedScans, router, sendQueue } = context;
  const isWaiting =
    connection.parked !== 0 ||
    (connection.commitGate !== null && connection.commitGate.count > 0) ||
    storeBlocked.has(connection) ||
    retainedScans.has(connection);
  // The end of each of these waits schedules the connection.
  if (isWaiting || sendQueue.isScheduled(connection.slot)) return;
  // The host may still report that the transport has not taken the output of this call.
  if (hasOutput || router.hasFanouts) sendQueue.schedule(connection.slot);
  else endConnection(context, connection, "peerEnded", connection.endReason);
}
