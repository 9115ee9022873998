/**
 * Input that outlives the call that delivered it: the beginning of an incomplete packet, and the
 * backlog of a parked connection. Both count against `inputBytesMax`.
 */
import { frameBytes } from "../codec/varint.ts";
import type { Connection } from "../connection/connection.ts";
import { Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";

/**
 * Keeps the beginning of a packet, `chunk[start, …)`. QuotaExceeded: memory for input is exhausted.
 */
export function keepPartial(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  start: number,
): ReasonCode {
  const receivedBytes = chunk.length - start;
  const packetBytes = frameBytes(chunk, start, chunk.length);
  const partial = acquire(context, capacityFor(packetBytes, receivedBytes));
  if (partial === null) return Reason.QuotaExceeded;
  partial.set(start === 0 ? chunk : chunk.subarray(start));
  connection.partial = partial;
  connection.partialBytes = receivedBytes;
  return Reason.Success;
}

/**
 * Adds to the partial packet those bytes of `chunk` that belong to it; returns the position after
 * them, or minus the reason code of a fault. The buffer grows with the bytes that arrive, not with
 * the announced length.
 */
export function extendPartial(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
): number {
  let start = 0;
  for (;;) {
    const receivedBytes = connection.partialBytes;
    const packetBytes = frameBytes(connection.partial!, 0, receivedBytes);
    if (packetBytes < 0) return -Reason.MalformedPacket;
    if (packetBytes > context.limits.packetBytesMax) return -Reason.PacketTooLarge;
    // Byte by byte while the length is unknown: it has at most four bytes.
    const missing = packetBytes === 0 ? 1 : packetBytes - receivedBytes;
    const count = Math.min(missing, chunk.length - start);
    if (count === 0) return start;
    if (receivedBytes + count > connection.partial!.length) {
      const larger = acquire(context, capacityFor(packetBytes, receivedBytes + count));
      if (larger === null) return -Reason.QuotaExceeded;
      larger.set(connection.partial!.subarray(0, receivedBytes));
      context.counters[Counter.inputBytes]! -= connection.partial!.length;
      context.buffers.release(connection.partial!);
      connection.partial = larger;
    }
    connection.partial!.set(chunk.subarray(start, start + count), receivedBytes);
    connection.partialBytes = receivedBytes + count;
    start += count;
  }
}

/** Takes the partial packet from a connection if it is complete; null: bytes are missing. */
export function shiftPartial(context: BrokerContext, connection: Connection): Uint8Array | null {
  const { partial, partialBytes } = connection;
  if (frameBytes(partial!, 0, partialBytes) !== partialBytes) return null;
  connection.partial = null;
  context.counters[Counter.inputBytes]! -= partial!.length;
  return partial;
}

/** Appends a copy of `bytes` to the backlog. QuotaExceeded: memory for input is exhausted. */
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

/**
 * Puts back the rest of a backlog. The rest is copied only if most of its buffer has been handled.
 */
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

/** Drops all input that is kept for a connection. */
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

/** The buffer size for a packet of `packetBytes` (0: unknown), of which `receivedBytes` arrived. */
function capacityFor(packetBytes: number, receivedBytes: number): number {
  if (packetBytes === 0) return PARTIAL_BYTES_MIN;
  const ahead = Math.min(receivedBytes * AHEAD_FACTOR_MAX, PARTIAL_BYTES_SMALL);
  return Math.min(packetBytes, Math.max(receivedBytes * 2, ahead, PARTIAL_BYTES_BEGUN));
}

/** A buffer of at least `byteCount` bytes; null: memory for input is exhausted. */
function acquire(context: BrokerContext, byteCount: number): Uint8Array | null {
  if (!hasRoom(context, byteCount)) return null;
  const buffer = context.buffers.acquire(byteCount);
  context.counters[Counter.inputBytes]! += buffer.length;
  return buffer;
}

function hasRoom({ counters, limits }: BrokerContext, byteCount: number): boolean {
  return counters[Counter.inputBytes]! + byteCount <= limits.inputBytesMax;
}

/** Buffer size while the length of the packet is unknown. */
const PARTIAL_BYTES_MIN = 8;
/** A packet up to this length gets its whole buffer once a fair part of it has arrived. */
const PARTIAL_BYTES_SMALL = 131_072;
/**
 * At most this many times the bytes that have arrived. Otherwise many clients could exhaust the
 * memory for input with a few bytes each.
 */
const AHEAD_FACTOR_MAX = 32;
const PARTIAL_BYTES_BEGUN = 4096;
