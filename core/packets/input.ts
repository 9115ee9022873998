/**
 * Turns chunks into frames: completes partial packets, keeps the input of parked connections, and
 * resumes where handling stopped.
 */
import { EffectKind } from "../boundary.ts";
import type { Connection } from "../connection/connection.ts";
import { Parked, Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import {
  extendPartial,
  keepBacklog,
  keepPartial,
  returnBacklog,
  shiftBacklog,
  shiftPartial,
} from "../lifecycle/input-buffer.ts";
import { isStoreBehind, sendCommittedReplies } from "../lifecycle/reply-queue.ts";
import { endConnection } from "../lifecycle/transitions.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { dispatchFrames, FEW_ROWS, MANY_ROWS } from "./dispatch.ts";
import { validateFirstByte } from "./first-byte.ts";

/** Handles a lent chunk. False: the host must not read more until a `Read` effect. */
export function receive(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
): boolean {
  context.counters[Counter.bytesReceived]! += chunk.length;
  if (connection.stage >= Stage.Closing) return true;
  if (connection.parked === 0) consume(context, connection, chunk, false);
  else failUnless(context, connection, keepBacklog(context, connection, chunk));
  connection.owesRead = connection.parked !== 0;
  return !connection.owesRead;
}

/** Replies have been encoded: resumes a connection that was parked for having too many. */
export function resumeAfterReplies(context: BrokerContext, connection: Connection): void {
  let over: number = connection.replies === null ? Parked.Output : 0;
  if (connection.receivedCount < context.limits.receiveMax) over |= Parked.Received;
  over &= connection.parked;
  if (over === 0) return;
  // The replies may have lent a payload that the host has not read yet.
  context.messages.keepLent();
  resume(context, connection, over);
}

/**
 * Everything up to the journal's commit is durable: sends the replies that waited and resumes the
 * connections.
 */
export function resumeAfterCommit(context: BrokerContext): void {
  sendCommittedReplies(context);
  const blocked = [...context.storeBlocked];
  context.storeBlocked.clear();
  for (const connection of blocked) {
    context.sendQueue.schedule(connection.slot);
    if ((connection.parked & Parked.Journal) === 0) continue;
    if (isStoreBehind(context)) context.storeBlocked.add(connection);
    else resume(context, connection, Parked.Journal);
  }
}

/**
 * A reason to park the connection has passed: handles its backlog, and reads on unless another
 * reason remains.
 */
export function resume(context: BrokerContext, connection: Connection, bits: number): void {
  connection.parked &= ~bits;
  // The last packet may be answered by nothing.
  if (connection.hasPeerEnded) context.sendQueue.schedule(connection.slot);
  if (!connection.isReading) return;
  const backlog = shiftBacklog(context, connection);
  if (backlog !== null) {
    consume(context, connection, backlog, true);
    if (!connection.isReading) return;
  }
  if (connection.owesRead) {
    connection.owesRead = false;
    context.pushEffect(EffectKind.Read, connection, Reason.Success);
  }
}

/**
 * `isBacklog`: the chunk is a backlog. It may be kept without a copy, and may soon park the
 * connection again.
 */
function consume(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  isBacklog: boolean,
): void {
  let start = 0;
  if (connection.partial !== null) {
    start = extendPartial(context, connection, chunk);
    if (start < 0) {
      endConnection(context, connection, "packetFault", -start as ReasonCode);
      return;
    }
    const partial = shiftPartial(context, connection);
    if (partial === null) return;
    consumePartial(context, connection, partial, connection.partialBytes);
  }
  if (connection.isReading && start < chunk.length) {
    context.frames.bytes = chunk;
    context.frames.owned = null;
    start = dispatchFrames(context, connection, start, isBacklog ? FEW_ROWS : MANY_ROWS);
  }
  if (start === chunk.length) return;
  if (connection.isReading) {
    beginPartial(context, connection, chunk, start);
    return;
  }
  const rest = start === 0 ? chunk : chunk.subarray(start);
  const keep = isBacklog && connection.inputBacklog === null ? returnBacklog : keepBacklog;
  failUnless(context, connection, keep(context, connection, rest));
}

/** Handles a packet that arrived in several chunks, `partial[0, byteCount)`. */
function consumePartial(
  context: BrokerContext,
  connection: Connection,
  partial: Uint8Array,
  byteCount: number,
): void {
  const frame = partial.subarray(0, byteCount);
  const { adoptedCount } = context.messages;
  context.frames.bytes = frame;
  // A long packet becomes the message together with its buffer, without a copy.
  context.frames.owned = byteCount >= OWNED_BYTES_MIN ? partial : null;
  const end = dispatchFrames(context, connection, 0, MANY_ROWS);
  if (!connection.isReading && end < byteCount) {
    failUnless(context, connection, keepBacklog(context, connection, frame));
  }
  if (context.messages.adoptedCount === adoptedCount) context.buffers.release(partial);
}

/** Keeps the beginning of a packet, unless its first byte is a fault. */
function beginPartial(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  start: number,
): void {
  const fault = validateFirstByte(context, connection, chunk[start]!);
  const isFine = fault === Reason.Success;
  failUnless(context, connection, isFine ? keepPartial(context, connection, chunk, start) : fault);
}

function failUnless(context: BrokerContext, connection: Connection, fault: ReasonCode): void {
  if (fault !== Reason.Success) endConnection(context, connection, "packetFault", fault);
}

/** From this packet length on, a message adopts the buffer of its packet. */
const OWNED_BYTES_MIN = 16_384;
