/**
 * Replies to a client, queued in sending order.
 *
 * A reply is one word: the first byte of the packet in the top eight bits, then the reason code,
 * then the packet identifier in the low sixteen. A packet that does not fit into a word is kept in
 * `Connection.encodedReplies`, and its word is `ENCODED_REPLY`.
 */

import { Ring } from "../base/ring.ts";
import type { PropertyValues } from "../boundary.ts";
import { FirstByte } from "../codec/packet.ts";
import { CommitGate } from "../connection/commit-gate.ts";
import type { Connection } from "../connection/connection.ts";
import { Parked } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import type { ReasonCode } from "../reason.ts";
import { FAILURE_MIN, Reason, reasonName } from "../reason.ts";

/** The word for the next entry of `Connection.encodedReplies`. */
export const ENCODED_REPLY = 1;
export const PINGRESP: number = (FirstByte.Pingresp << 24) >>> 0;

/** The reason code is sent to clients of 5.0 only. */
export function packReply(
  firstByte: number,
  packetId: number,
  reason: ReasonCode = Reason.Success,
): number {
  return ((firstByte << 24) | (reason << 16) | packetId) >>> 0;
}

/** Queues a reply that depends on no write. It waits only for the CONNACK [MQTT311-3.2.0-1]. */
export function sendReply(context: BrokerContext, connection: Connection, word: number): void {
  if (context.journal.committed < connection.connackSeq) {
    gateReply(context, connection, word);
    return;
  }
  connection.replies ??= context.spareReplyRings.pop() ?? new Ring();
  connection.replies.push(word);
  context.sendQueue.schedule(connection.slot);
  // The client takes replies slower than it causes them: its input is not read until they are sent.
  if (connection.replies.count >= REPLIES_MAX) connection.parked |= Parked.Output;
}

/** Queues a reply that depends on all writes so far. It waits until they are durable. */
export function replyAfterCommit(
  context: BrokerContext,
  connection: Connection,
  word: number,
): void {
  if (!replyOrAwaitCommit(context, connection, word)) return;
  if (context.journal.isFull) parkForStore(context, connection);
  else pauseWhileStoreBehind(context, connection);
}

/**
 * Like `replyAfterCommit`, but the client is read on: for replies whose number is bounded by another
 * limit than those of the journal. True: the reply waits.
 */
export function replyOrAwaitCommit(
  context: BrokerContext,
  connection: Connection,
  word: number,
): boolean {
  const isWaiting = connection.commitGate !== null && connection.commitGate.count > 0;
  if (!isWaiting && context.journal.backlog === 0 && !context.journal.hasFailed) {
    sendReply(context, connection, word);
    return false;
  }
  gateReply(context, connection, word);
  return true;
}

/** Queues a reply that needs no commit, but keeps it behind replies that do. */
export function replyInOrder(context: BrokerContext, connection: Connection, word: number): void {
  const isWaiting = connection.commitGate !== null && connection.commitGate.count > 0;
  if (isWaiting) gateReply(context, connection, word);
  else sendReply(context, connection, word);
}

function gateReply(context: BrokerContext, connection: Connection, word: number): void {
  connection.commitGate ??= new CommitGate();
  if (connection.commitGate.count === 0) context.gatedConnections.add(connection);
  connection.commitGate.push(context.journal.lastSeq, word);
}

/** Forgets the replies that wait for a commit. */
export function dropGatedReplies(context: BrokerContext, connection: Connection): void {
  context.gatedConnections.delete(connection);
  const { commitGate } = connection;
  connection.commitGate = null;
  // The last of the encoded replies belong to them, because no reply overtakes a waiting one.
  const count = commitGate?.countOf(ENCODED_REPLY) ?? 0;
  if (count > 0) connection.encodedReplies.splice(-count);
}

/** While the store is behind, stops reading from a connection that caused writes. */
export function pauseWhileStoreBehind(context: BrokerContext, connection: Connection): void {
  if (isStoreBehind(context)) parkForStore(context, connection);
}

function parkForStore(context: BrokerContext, connection: Connection): void {
  connection.parked |= Parked.Journal;
  context.storeBlocked.add(connection);
}

export function isStoreBehind({ journal, limits, pager }: BrokerContext): boolean {
  const { journalBacklogMax, journalBytesMax } = limits;
  if (journal.hasFailed || journal.backlog >= journalBacklogMax) return true;
  if (pager === null) return journal.backlogBytes >= journalBytesMax;
  // Messages can leave memory only after their commit, so the backlog must leave room for others.
  const room = pager.freeBytes / 2;
  return journal.backlogBytes >= Math.min(journalBytesMax, Math.max(room, BACKLOG_BYTES_MIN));
}

/** Queues the replies whose writes are durable now. */
export function sendCommittedReplies(context: BrokerContext): void {
  for (const connection of context.gatedConnections) {
    const gate = connection.commitGate!;
    for (;;) {
      const word = gate.shiftCommitted(context.journal.committed);
      if (word === 0) break;
      sendReply(context, connection, word);
    }
    if (gate.count === 0) context.gatedConnections.delete(connection);
  }
}

/** Whether the client accepts packets of this length [MQTT-3.1.2-24]. */
export function fitsMaximumPacketSize({ packetBytesMax }: Connection, packet: Uint8Array): boolean {
  return packet.length <= packetBytesMax;
}

/** Keeps an encoded packet, to be sent by an `ENCODED_REPLY` word. */
export function keepEncodedReply(connection: Connection, packet: Uint8Array): void {
  connection.encodedReplies.push(packet);
  connection.encodedReplyBytes += packet.length;
}

/**
 * Queues an encoded packet; with `needsCommit`, until the writes so far are durable. Drops a packet
 * that exceeds the client's Maximum Packet Size [MQTT-3.1.2-25].
 */
export function replyEncoded(
  context: BrokerContext,
  connection: Connection,
  packet: Uint8Array,
  needsCommit: boolean,
): void {
  if (!fitsMaximumPacketSize(connection, packet)) return;
  keepEncodedReply(connection, packet);
  if (needsCommit) replyAfterCommit(context, connection, ENCODED_REPLY);
  else replyInOrder(context, connection, ENCODED_REPLY);
  // As with too many short replies: input is not read until they are sent.
  if (connection.encodedReplyBytes >= ENCODED_BYTES_MAX) connection.parked |= Parked.Output;
}

/**
 * The Reason String for a packet with a failure. None if the client does not want it
 * [MQTT-3.1.2-29] or if the packet might exceed its Maximum Packet Size [MQTT-3.2.2-19]
 * [MQTT-3.4.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3].
 */
export function reasonString(connection: Connection, reason: ReasonCode | number): PropertyValues {
  const wantsReason = connection.wantsProblemInformation && reason >= FAILURE_MIN;
  const hasRoom = connection.packetBytesMax >= REASON_PACKET_BYTES_MAX;
  return wantsReason && hasRoom ? { ReasonString: reasonName(reason) } : {};
}

/**
 * Like `reasonString`, with a text of the policy, which may exceed the Maximum Packet Size; null:
 * no text to send.
 */
export function policyReasonString(
  connection: Connection,
  text: string | undefined,
): PropertyValues | null {
  return text !== undefined && connection.wantsProblemInformation ? { ReasonString: text } : null;
}

/** However little memory is free, a store with a smaller backlog than this is not behind. */
const BACKLOG_BYTES_MIN = 65_536;
const REPLIES_MAX = 8192;
const ENCODED_BYTES_MAX = 262_144;
/** Longer than any packet with a Reason String of the broker's own. */
const REASON_PACKET_BYTES_MAX = 128;
