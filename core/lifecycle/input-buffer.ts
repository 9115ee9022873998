/**
 * Input that is kept after the call that brought it: the beginning of a packet, and the backlog of a connection
 * that is parked. Both count against `inputBytesMax`.
 */
import { frameBytes } from "../codec/varint.ts";
import type { Connection } from "../connection/connection.ts";
import { Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";

/** Keeps the beginning of a packet, `chunk[start, …)`. QuotaExceeded: there is no memory for it. */
export function keepPartial(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  start: number,
): ReasonCode {
  const have = chunk.length - start;
  const total = frameBytes(chunk, start, chunk.length);
  const partial = acquire(context, capacityFor(total, have));
  if (partial === null) return Reason.QuotaExceeded;
  partial.set(start === 0 ? chunk : chunk.subarray(start));
  connection.partial = partial;
  connection.partialBytes = have;
  return Reason.Success;
}

/**
 * Adds to the partial packet what belongs to it of `chunk`; returns where the rest begins, or minus the reason
 * code of what is wrong. Room is made as bytes come, not as they are announced.
 */
export function extendPartial(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
): number {
  let start = 0;
  for (;;) {
    const have = connection.partialBytes;
    const total = frameBytes(connection.partial!, 0, have);
    if (total < 0) return -Reason.MalformedPacket;
    if (total > context.limits.packetBytesMax) return -Reason.PacketTooLarge;
    // Byte by byte while the length is not known: it takes at most five.
    const missing = total === 0 ? 1 : total - have;
    const count = Math.min(missing, chunk.length - start);
    if (count === 0) return start;
    if (have + count > connection.partial!.length) {
      const larger = acquire(context, capacityFor(total, have + count));
      if (larger === null) return -Reason.QuotaExceeded;
      larger.set(connection.partial!.subarray(0, have));
      context.counters[Counter.inputBytes]! -= connection.partial!.length;
      context.buffers.release(connection.partial!);
      connection.partial = larger;
    }
    connection.partial!.set(chunk.subarray(start, start + count), have);
    connection.partialBytes = have + count;
    start += count;
  }
}

/** Takes the partial packet from a connection once it is complete; null: more of it has to come. */
export function shiftPartial(context: BrokerContext, connection: Connection): Uint8Array | null {
  const { partial, partialBytes } = connection;
  if (frameBytes(partial!, 0, partialBytes) !== partialBytes) return null;
  connection.partial = null;
  context.counters[Counter.inputBytes]! -= partial!.length;
  return partial;
}

/** Keeps a copy of `bytes` behind the backlog. QuotaExceeded: there is no memory for it. */
export function keepBacklog(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
): ReasonCode {
  if (connection.stage >= Stage.Closing) return Reason.Success;
  const before = connection.inputBacklog;
  const byteCount = (before?.length ?? 0) + bytes.length;
  if (!hasRoom(context, byteCount)) return Reason.QuotaExceeded;
  const backlog = new Uint8Array(byteCount);
  if (before !== null) {
    backlog.set(before);
    context.counters[Counter.inputBytes]! -= before.buffer.byteLength;
  }
  backlog.set(bytes, before?.length ?? 0);
  context.counters[Counter.inputBytes]! += byteCount;
  connection.inputBacklog = backlog;
  return Reason.Success;
}

/** Puts back the rest of a backlog: uncopied, unless most of its buffer has been handled. */
export function returnBacklog(
  context: BrokerContext,
  connection: Connection,
  rest: Uint8Array,
): ReasonCode {
  const bufferBytes = rest.buffer.byteLength;
  if (connection.stage >= Stage.Closing || rest.length * 2 < bufferBytes) {
    return keepBacklog(context, connection, rest);
  }
  context.counters[Counter.inputBytes]! += bufferBytes;
  connection.inputBacklog = rest;
  return Reason.Success;
}

/** Takes the backlog from a connection; null: there is none. */
export function shiftBacklog(context: BrokerContext, connection: Connection): Uint8Array | null {
  const { inputBacklog } = connection;
  connection.inputBacklog = null;
  context.counters[Counter.inputBytes]! -= inputBacklog?.buffer.byteLength ?? 0;
  return inputBacklog;
}

/** Lets go of all input that is kept for a connection. */
export function dropInput(context: BrokerContext, connection: Connection): void {
  const { inputBacklog, partial, inboundAliases } = connection;
  const bytes =
    (inputBacklog?.buffer.byteLength ?? 0) +
    (partial?.length ?? 0) +
    (inboundAliases?.byteCount ?? 0);
  context.counters[Counter.inputBytes]! -= bytes;
  if (partial !== null) context.buffers.release(partial);
  connection.inputBacklog = null;
  connection.partial = null;
  connection.inboundAliases = null;
}

/** Room for a packet of `total` bytes (0: not known) of which there are `have`. */
function capacityFor(total: number, have: number): number {
  if (total === 0) return PARTIAL_BYTES_MIN;
  const ahead = Math.min(have * AHEAD_FACTOR_MAX, PARTIAL_BYTES_SMALL);
  return Math.min(total, Math.max(have * 2, ahead, PARTIAL_BYTES_BEGUN));
}

/** A buffer of at least `byteCount` bytes, or null. */
function acquire(context: BrokerContext, byteCount: number): Uint8Array | null {
  if (!hasRoom(context, byteCount)) return null;
  const buffer = context.buffers.acquire(byteCount);
  context.counters[Counter.inputBytes]! += buffer.length;
  return buffer;
}

function hasRoom({ counters, limits }: BrokerContext, byteCount: number): boolean {
  return counters[Counter.inputBytes]! + byteCount <= limits.inputBytesMax;
}

/** Room for a packet whose length is not known yet. */
const PARTIAL_BYTES_MIN = 8;
/** A packet up to this long gets all its room at once, when a fair part of it has come. */
const PARTIAL_BYTES_SMALL = 131_072;
/** So many times what has come: or a few bytes each, from many clients, would use up the memory for input. */
const AHEAD_FACTOR_MAX = 32;
const PARTIAL_BYTES_BEGUN = 4096;
