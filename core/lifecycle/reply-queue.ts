/**
 * Answers to a client, queued in the order in which they leave.
 *
 * An answer is one word: the first byte in the top eight bits, the reason code, the packet identifier in
 * the low sixteen. A packet that is more than that is kept beside, and its word is `PACKET`.
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

/** The word that stands for the next of `Connection.packets`. */
export const ENCODED_REPLY = 1;
export const PINGRESP: number = (FirstByte.Pingresp << 24) >>> 0;

/** The reason is told to 5.0 only. */
export function packReply(
  firstByte: number,
  packetId: number,
  reason: ReasonCode = Reason.Success,
): number {
  return ((firstByte << 24) | (reason << 16) | packetId) >>> 0;
}

/** Queues an answer that promises nothing: it waits for the CONNACK at most [MQTT311-3.2.0-1]. */
export function sendReply(context: BrokerContext, connection: Connection, word: number): void {
  if (context.journal.committed < connection.connackSeq) {
    gateReply(context, connection, word);
    return;
  }
  connection.replies ??= context.spareReplyRings.pop() ?? new Ring();
  connection.replies.push(word);
  context.sendQueue.schedule(connection.slot);
  // It sends faster than it takes the answers: no more is read until they are gone.
  if (connection.replies.count >= REPLIES_MAX) connection.parked |= Parked.Output;
}

/** Queues an answer that promises all that has been written: it waits until that is durable. */
export function replyAfterCommit(
  context: BrokerContext,
  connection: Connection,
  word: number,
): void {
  const isWaiting = connection.commitGate !== null && connection.commitGate.count > 0;
  if (!isWaiting && context.journal.backlog === 0 && !context.journal.hasFailed) {
    sendReply(context, connection, word);
    return;
  }
  gateReply(context, connection, word);
  pauseWhileStoreBehind(context, connection);
}

/** Queues an answer that promises nothing behind those that wait, whose packets are before its own. */
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

/** Forgets what waits for the store: its promises are nobody's any more. */
export function dropGatedReplies(connection: Connection): void {
  const { commitGate: gate } = connection;
  connection.commitGate = null;
  // Packets that wait are the last of them, for an answer never passes one that waits.
  const count = gate?.countOf(ENCODED_REPLY) ?? 0;
  if (count > 0) connection.encodedReplies.splice(-count);
}

/** Where the store is behind, reads no more of a connection that has made it write. */
export function pauseWhileStoreBehind(context: BrokerContext, connection: Connection): void {
  if (!isStoreBehind(context)) return;
  connection.parked |= Parked.Journal;
  context.storeBlocked.add(connection);
}

export function isStoreBehind({ journal, limits }: BrokerContext): boolean {
  return journal.hasFailed || journal.backlog >= limits.journalBacklogMax;
}

/** Queues what waited for what is durable now. */
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

/** Whether the client takes packets as long as this one [MQTT-3.1.2-24]. */
export function fitsMaximumPacketSize({ packetBytesMax }: Connection, packet: Uint8Array): boolean {
  return packet.length <= packetBytesMax;
}

/** Keeps a packet beside the answers, whose next `PACKET` stands for it. */
export function keepPacket(connection: Connection, packet: Uint8Array): void {
  connection.encodedReplies.push(packet);
  connection.packetBytes += packet.length;
}

/** Queues a packet of its own, durably; one that the client does not take is dropped [MQTT-3.1.2-25]. */
export function replyEncoded(
  context: BrokerContext,
  connection: Connection,
  packet: Uint8Array,
): void {
  if (!fitsMaximumPacketSize(connection, packet)) return;
  keepPacket(connection, packet);
  replyAfterCommit(context, connection, ENCODED_REPLY);
  // As with very many short ones: no more is read until they are gone.
  if (connection.packetBytes >= PACKETS_BYTES_MAX) connection.parked |= Parked.Output;
}

/**
 * What a packet that says no says beside its code, as far as the client wants to be told [MQTT-3.1.2-29],
 * and takes packets that long [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3].
 */
export function reasonString(connection: Connection, reason: ReasonCode | number): PropertyValues {
  const isTold = connection.wantsProblemInformation && reason >= FAILURE_MIN;
  const hasRoom = connection.packetBytesMax >= REASON_PACKET_BYTES_MAX;
  return isTold && hasRoom ? { ReasonString: reasonName(reason) } : {};
}

/** The same with a text of the policy's own, which may be longer than the client takes; null: none is to be told. */
export function ownProblem(
  connection: Connection,
  text: string | undefined,
): PropertyValues | null {
  return text !== undefined && connection.wantsProblemInformation ? { ReasonString: text } : null;
}

const REPLIES_MAX = 8192;
const PACKETS_BYTES_MAX = 262_144;
/** More than any packet with a Reason String of ours has. */
const REASON_PACKET_BYTES_MAX = 128;
