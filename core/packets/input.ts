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
import {
  isStoreBehind,
  replyAfterCommit,
  replyInOrder,
  sendCommittedReplies,
} from "../lifecycle/reply-queue.ts";
import { endConnection } from "../lifecycle/transitions.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { dispatchFrames, FEW_ROWS, MANY_ROWS } from "./dispatch.ts";
import { validateFirstByte } from "./first-byte.ts";

/** Handles a lent chunk. False: the host must not read more until a `Read` effect. */
export function receiveChunk(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
): boolean {
  context.counters[Counter.bytesReceived]! += chunk.length;
  if (connection.stage >= Stage.Closing) return true;
  if (connection.parked === 0) consumeChunk(context, connection, chunk, false);
  else endOnFault(context, connection, keepBacklog(context, connection, chunk));
  connection.owesReadEffect = connection.parked !== 0;
  return !connection.owesReadEffect;
}

/** Replies have been encoded: resumes a connection that was parked for having too many. */
export function resumeAfterReplies(context: BrokerContext, connection: Connection): void {
  let passed: number = connection.replies === null ? Parked.Output : 0;
  if (connection.unacknowledgedCount < context.limits.receiveMax) passed |= Parked.ReceiveMax;
  passed &= connection.parked;
  if (passed === 0) return;
  // The replies may have lent a payload that the host has not read yet.
  context.messages.keepLent();
  resume(context, connection, passed);
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

/** The fan-out of the connection's last message is complete: acknowledges it and resumes the connection. */
export function resumeAfterFanout(context: BrokerContext, connection: Connection): void {
  if ((connection.parked & Parked.Fanout) === 0) return;
  const { fanoutReply, fanoutBefore } = connection;
  connection.fanoutReply = 0;
  const needsCommit = fanoutBefore !== null && context.journal.lastSeq !== fanoutBefore;
  const reply = needsCommit ? replyAfterCommit : replyInOrder;
  if (fanoutReply !== 0) reply(context, connection, fanoutReply);
  resume(context, connection, Parked.Fanout);
}

/**
 * A reason to park the connection has passed: handles its backlog, and reads on unless another
 * reason remains.
 */
export function resume(context: BrokerContext, connection: Connection, bits: number): void {
  connection.parked &= ~bits;
  // The last packet may get no reply.
  if (connection.hasPeerEnded) context.sendQueue.schedule(connection.slot);
  if (!connection.isReading) return;
  const backlog = shiftBacklog(context, connection);
  if (backlog !== null) {
    consumeChunk(context, connection, backlog, true);
    if (!connection.isReading) return;
  }
  if (connection.owesReadEffect) {
    connection.owesReadEffect = false;
    context.pushEffect(EffectKind.Read, connection, Reason.Success);
  }
}

/**
 * `isBacklog`: the chunk is a backlog. It may be kept without a copy, and may soon park the
 * connection again.
 */
function consumeChunk(
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
    consumePacket(context, connection, partial, connection.partialBytes);
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
  endOnFault(context, connection, keep(context, connection, rest));
}

/** Handles a packet that arrived in several chunks, `partial[0, byteCount)`. */
function consumePacket(
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
    endOnFault(context, connection, keepBacklog(context, connection, frame));
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
  endOnFault(context, connection, isFine ? keepPartial(context, connection, chunk, start) : fault);
}

function endOnFault(context: BrokerContext, connection: Connection, fault: ReasonCode): void {
  if (fault !== Reason.Success) endConnection(context, connection, "packetFault", fault);
}

/** From this packet length on, a message adopts the buffer of its packet. */
const OWNED_BYTES_MIN = 16_384;
