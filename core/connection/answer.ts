/**
 * Answers to a client, queued in the order in which they leave.
 *
 * An answer is one word: the first byte in the top eight bits, the reason code, the packet identifier in
 * the low sixteen. A packet that is more than that is kept beside, and its word is `PACKET`.
 */
import { Ring } from "../base/ring.ts";
import type { PropertyValues } from "../boundary.ts";
import { FirstByte } from "../codec/packet.ts";
import type { ReasonCode } from "../reason.ts";
import { FAILURE_MIN, Reason, reasonName } from "../reason.ts";
import type { Connection } from "./connection.ts";
import { Parked } from "./connection.ts";
import { Gate } from "./gate.ts";
import type { Parts } from "./parts.ts";

/** The word that stands for the next of `Connection.packets`. */
export const PACKET = 1;
export const PINGRESP: number = (FirstByte.Pingresp << 24) >>> 0;

/** The reason is told to 5.0 only. */
export function answerWord(
  firstByte: number,
  packetId: number,
  reason: ReasonCode = Reason.Success,
): number {
  return ((firstByte << 24) | (reason << 16) | packetId) >>> 0;
}

/** Queues an answer that promises nothing: it waits for the CONNACK at most [MQTT311-3.2.0-1]. */
export function answerNow(parts: Parts, connection: Connection, word: number): void {
  if (parts.journal.committed < connection.connackSeq) {
    wait(parts, connection, word);
    return;
  }
  connection.answers ??= parts.spareRings.pop() ?? new Ring();
  connection.answers.push(word);
  parts.dirty.mark(connection.slot);
  // It sends faster than it takes the answers: no more is read until they are gone.
  if (connection.answers.count >= ANSWERS_MAX) connection.parked |= Parked.Output;
}

/** Queues an answer that promises all that has been written: it waits until that is durable. */
export function answerDurably(parts: Parts, connection: Connection, word: number): void {
  const isWaiting = connection.gate !== null && connection.gate.count > 0;
  if (!isWaiting && parts.journal.backlog === 0 && !parts.journal.hasFailed) {
    answerNow(parts, connection, word);
    return;
  }
  wait(parts, connection, word);
  holdWriter(parts, connection);
}

/** Queues an answer that promises nothing behind those that wait, whose packets are before its own. */
export function answerBehind(parts: Parts, connection: Connection, word: number): void {
  const isWaiting = connection.gate !== null && connection.gate.count > 0;
  if (isWaiting) wait(parts, connection, word);
  else answerNow(parts, connection, word);
}

function wait(parts: Parts, connection: Connection, word: number): void {
  connection.gate ??= new Gate();
  if (connection.gate.count === 0) parts.gated.add(connection);
  connection.gate.push(parts.journal.lastSeq, word);
}

/** Forgets what waits for the store: its promises are nobody's any more. */
export function dropWaiting(connection: Connection): void {
  const { gate } = connection;
  connection.gate = null;
  // Packets that wait are the last of them, for an answer never passes one that waits.
  const count = gate?.countOf(PACKET) ?? 0;
  if (count > 0) connection.packets.splice(-count);
}

/** Where the store is behind, reads no more of a connection that has made it write. */
export function holdWriter(parts: Parts, connection: Connection): void {
  if (!isBehind(parts)) return;
  connection.parked |= Parked.Journal;
  parts.awaiting.add(connection);
}

export function isBehind({ journal, limits }: Parts): boolean {
  return journal.hasFailed || journal.backlog >= limits.journalBacklogMax;
}

/** Queues what waited for what is durable now. */
export function openAnswers(parts: Parts): void {
  for (const connection of parts.gated) {
    const gate = connection.gate!;
    for (;;) {
      const word = gate.take(parts.journal.committed);
      if (word === 0) break;
      answerNow(parts, connection, word);
    }
    if (gate.count === 0) parts.gated.delete(connection);
  }
}

/** Whether the client takes packets as long as this one [MQTT-3.1.2-24]. */
export function takes({ packetBytesMax }: Connection, packet: Uint8Array): boolean {
  return packet.length <= packetBytesMax;
}

/** Keeps a packet beside the answers, whose next `PACKET` stands for it. */
export function keepPacket(connection: Connection, packet: Uint8Array): void {
  connection.packets.push(packet);
  connection.packetBytes += packet.length;
}

/** Queues a packet of its own, durably; one that the client does not take is dropped [MQTT-3.1.2-25]. */
export function answerPacket(parts: Parts, connection: Connection, packet: Uint8Array): void {
  if (!takes(connection, packet)) return;
  keepPacket(connection, packet);
  answerDurably(parts, connection, PACKET);
  // As with very many short ones: no more is read until they are gone.
  if (connection.packetBytes >= PACKETS_BYTES_MAX) connection.parked |= Parked.Output;
}

/**
 * What a packet that says no says beside its code, as far as the client wants to be told [MQTT-3.1.2-29],
 * and takes packets that long [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3].
 */
export function problem(connection: Connection, reason: ReasonCode | number): PropertyValues {
  const isTold = connection.wantsProblemInformation && reason >= FAILURE_MIN;
  const hasRoom = connection.packetBytesMax >= PROBLEM_BYTES_MAX;
  return isTold && hasRoom ? { ReasonString: reasonName(reason) } : {};
}

/** The same with a text of the policy's own, which may be longer than the client takes; null: none is to be told. */
export function ownProblem(
  connection: Connection,
  text: string | undefined,
): PropertyValues | null {
  return text !== undefined && connection.wantsProblemInformation ? { ReasonString: text } : null;
}

const ANSWERS_MAX = 8192;
const PACKETS_BYTES_MAX = 262_144;
/** More than any packet with a Reason String of ours has. */
const PROBLEM_BYTES_MAX = 128;
