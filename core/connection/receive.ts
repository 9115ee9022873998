/**
 * From bytes to packets: completes what came in part, finds frames, hands each to its handler.
 *
 * The core keeps of a chunk what it needs after the call: the beginning of a packet, and the rest of a
 * chunk that came while, or parked because, the connection waits for something.
 */
import type { Millis } from "../boundary.ts";
import { EffectKind } from "../boundary.ts";
import { ROW_HEADER, ROW_OFFSET, ROW_REMAINING, ROW_TOPIC, ROW_WORDS } from "../codec/layout.ts";
import { PacketType } from "../codec/packet.ts";
import { frameBytes } from "../codec/varint.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { handleAcknowledgement } from "./acknowledge.ts";
import { handleAuth } from "./authenticate.ts";
import { handleConnect } from "./connect.ts";
import type { Connection } from "./connection.ts";
import { Parked, Stage } from "./connection.ts";
import { handleDisconnect } from "./disconnect.ts";
import { fail } from "./end.ts";
import { faultOfFirstByte } from "./first-byte.ts";
import { handlePublish } from "./publish.ts";
import { PINGRESP, sendReply } from "./reply-queue.ts";
import { handleSubscribe, handleUnsubscribe } from "./subscribe.ts";

/** Handles a chunk that is lent. False: no more is to be read until a `Read` effect. */
export function receive(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  now: Millis,
): boolean {
  context.counters[Counter.bytesReceived]! += chunk.length;
  if (connection.stage >= Stage.Closing) return true;
  if (connection.parked === 0) consume(context, connection, chunk, false, now);
  else keepBacklog(context, connection, chunk, now);
  connection.owesRead = connection.parked !== 0;
  return !connection.owesRead;
}

/** Answers have been written: what waited for room for more of them goes on. */
export function unparkAnswered(context: BrokerContext, connection: Connection, now: Millis): void {
  let over: number = connection.replies === null ? Parked.Output : 0;
  if (connection.receivedCount < context.limits.receiveMax) over |= Parked.Received;
  over &= connection.parked;
  if (over === 0) return;
  // The host has yet to read a payload that it was lent with them.
  context.messages.keepLent();
  unpark(context, connection, over, now);
}

/** What parked the connection is over: handles what was held, and reads on if that was all. */
export function unpark(
  context: BrokerContext,
  connection: Connection,
  bits: number,
  now: Millis,
): void {
  connection.parked &= ~bits;
  if (!connection.isReading) return;
  const { inputBacklog: held } = connection;
  if (held !== null) {
    connection.inputBacklog = null;
    context.counters[Counter.inputBytes]! -= held.buffer.byteLength;
    consume(context, connection, held, true, now);
    if (!connection.isReading) return;
  }
  if (connection.owesRead) {
    connection.owesRead = false;
    context.pushEffect(EffectKind.Read, connection, Reason.Success);
  }
}

/** `isHeld`: the chunk is what was held, which may be kept as it is and may park the connection again soon. */
function consume(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  isHeld: boolean,
  now: Millis,
): void {
  let start = 0;
  if (connection.partial !== null) {
    start = extendPartial(context, connection, chunk, now);
    if (!connection.isReading) return;
    const { partial, partialBytes } = connection;
    if (frameBytes(partial!, 0, partialBytes) !== partialBytes) return;
    connection.partial = null;
    context.counters[Counter.inputBytes]! -= partial!.length;
    const frame = partial!.subarray(0, partialBytes);
    // A long packet becomes the message together with its buffer, uncopied.
    const owned = partialBytes >= OWNED_BYTES_MIN ? partial : null;
    const { adoptedCount } = context.messages;
    const end = handleFrames(context, connection, frame, 0, owned, table, now);
    if (!connection.isReading && end < partialBytes) keepBacklog(context, connection, frame, now);
    if (context.messages.adoptedCount === adoptedCount) context.buffers.release(partial!);
  }
  if (connection.isReading && start < chunk.length) {
    start = handleFrames(context, connection, chunk, start, null, isHeld ? fewRows : table, now);
  }
  if (start === chunk.length) return;
  if (connection.isReading) {
    beginPartial(context, connection, chunk, start, now);
    return;
  }
  const rest = start === 0 ? chunk : chunk.subarray(start);
  if (isHeld && connection.inputBacklog === null) holdOn(context, connection, rest, now);
  else keepBacklog(context, connection, rest, now);
}

/**
 * Handles the complete frames of `bytes[start, …)` until there are no more, or the connection waits or
 * ends. Returns where the first that was not handled begins. `owned` is the buffer that `bytes` begins,
 * where a message may have it. The first frames are found with `rowTable`.
 */
function handleFrames(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  owned: Uint8Array | null,
  rowTable: Uint32Array,
  now: Millis,
): number {
  const { ingest, counters } = context;
  const { packetBytesMax } = context.limits;
  for (let found = rowTable; ; found = table) {
    const rows = ingest.scan(bytes, start, found, packetBytesMax);
    if (rows === 0) return start;
    if (rows < 0) {
      // The same reason, whether its first byte came alone or with what follows.
      const fault = faultOfFirstByte(context, connection, bytes[start]!);
      const reason = fault === Reason.Success ? (-rows as ReasonCode) : fault;
      fail(context, connection, reason, now);
      return start;
    }
    connection.lastSeen = now;
    const epoch = ingest.topicEpoch;
    for (let at = 0; at < rows * ROW_WORDS; at += ROW_WORDS) {
      const offset = found[at + ROW_OFFSET]!;
      const header = found[at + ROW_HEADER]!;
      const remaining = found[at + ROW_REMAINING]!;
      const topic = found[at + ROW_TOPIC]!;
      const isPublish = (header & 0xf0) === PacketType.Publish << 4;
      const isHandled =
        isPublish && connection.stage === Stage.Connected
          ? handlePublish(context, connection, bytes, offset, header, remaining, topic, owned, now)
          : handlePacket(context, connection, bytes, offset, header, remaining, now);
      if (!isHandled) return offset;
      counters[Counter.packetsReceived]!++;
      start = offset + (header >> 8) + remaining;
      if (!connection.isReading) return start;
      // A will that was published meanwhile may have emptied the interning table, and these rows.
      if (ingest.topicEpoch !== epoch) break;
    }
  }
}

/** Any packet but the PUBLISH of a client. False: to be handled again after a decision. */
function handlePacket(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
  offset: number,
  header: number,
  remaining: number,
  now: Millis,
): boolean {
  const type = (header >> 4) & 0xf;
  const start = offset + (header >> 8);
  const end = start + remaining;
  const fault = faultOfFirstByte(context, connection, header & 0xff);
  if (fault !== Reason.Success) return fail(context, connection, fault, now);
  switch (type) {
    case PacketType.Connect:
      return handleConnect(context, connection, bytes, start, end, now);
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
      handleAcknowledgement(context, connection, type, bytes, start, remaining, now);
      return true;
    case PacketType.Subscribe:
      return handleSubscribe(context, connection, bytes, start, end, now);
    case PacketType.Unsubscribe:
      return handleUnsubscribe(context, connection, bytes, start, end, now);
    case PacketType.Pingreq:
      if (remaining !== 0) return fail(context, connection, Reason.MalformedPacket, now);
      sendReply(context, connection, PINGRESP); // [MQTT311-3.12.4-1] [MQTT-3.12.4-1]
      return true;
    case PacketType.Disconnect:
      return handleDisconnect(context, connection, bytes, start, end, now);
    default:
      // AUTH: a first byte of any other type is at fault.
      return handleAuth(context, connection, bytes, start, end, now, (connect) =>
        handleConnect(context, connection, connect, 0, connect.length, now),
      );
  }
}

/** Keeps the beginning of a packet, `chunk[start, …)`, unless its first byte says that it is none. */
function beginPartial(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  start: number,
  now: Millis,
): void {
  const fault = faultOfFirstByte(context, connection, chunk[start]!);
  if (fault !== Reason.Success) {
    fail(context, connection, fault, now);
    return;
  }
  const have = chunk.length - start;
  const total = frameBytes(chunk, start, chunk.length);
  const partial = reserve(context, connection, capacityFor(total, have), now);
  if (partial === null) return;
  partial.set(start === 0 ? chunk : chunk.subarray(start));
  connection.partial = partial;
  connection.partialBytes = have;
}

/**
 * Adds to the partial packet what belongs to it of `chunk`; returns where the rest begins. Room is made
 * as bytes come, not as they are announced.
 */
function extendPartial(
  context: BrokerContext,
  connection: Connection,
  chunk: Uint8Array,
  now: Millis,
): number {
  let start = 0;
  for (;;) {
    const have = connection.partialBytes;
    const total = frameBytes(connection.partial!, 0, have);
    if (total < 0 || total > context.limits.packetBytesMax) {
      fail(context, connection, total < 0 ? Reason.MalformedPacket : Reason.PacketTooLarge, now);
      return start;
    }
    // While its length is not known, byte by byte: there are at most five of them.
    const missing = total === 0 ? 1 : total - have;
    const take = Math.min(missing, chunk.length - start);
    if (take === 0) return start;
    if (have + take > connection.partial!.length) {
      const larger = reserve(context, connection, capacityFor(total, have + take), now);
      if (larger === null) return start;
      larger.set(connection.partial!.subarray(0, have));
      context.counters[Counter.inputBytes]! -= connection.partial!.length;
      context.buffers.release(connection.partial!);
      connection.partial = larger;
    }
    connection.partial!.set(chunk.subarray(start, start + take), have);
    connection.partialBytes = have + take;
    start += take;
  }
}

/** Room for a packet of `total` bytes (0: not known) of which there are `have`. */
function capacityFor(total: number, have: number): number {
  if (total === 0) return PARTIAL_BYTES_MIN;
  const ahead = Math.min(have * AHEAD_FACTOR_MAX, PARTIAL_BYTES_SMALL);
  return Math.min(total, Math.max(have * 2, ahead, PARTIAL_BYTES_BEGUN));
}

/** Keeps input for later, behind what is kept already. */
function keepBacklog(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
  now: Millis,
): void {
  if (connection.stage >= Stage.Closing) return;
  const before = connection.inputBacklog;
  const byteCount = (before?.length ?? 0) + bytes.length;
  if (!admit(context, connection, byteCount, now)) return;
  const held = new Uint8Array(byteCount);
  if (before !== null) {
    held.set(before);
    context.counters[Counter.inputBytes]! -= before.buffer.byteLength;
  }
  held.set(bytes, before?.length ?? 0);
  context.counters[Counter.inputBytes]! += byteCount;
  connection.inputBacklog = held;
}

/** Holds on to the rest of what was held: uncopied, unless most of its buffer has been handled. */
function holdOn(
  context: BrokerContext,
  connection: Connection,
  rest: Uint8Array,
  now: Millis,
): void {
  const bufferBytes = rest.buffer.byteLength;
  if (connection.stage >= Stage.Closing || rest.length * 2 < bufferBytes) {
    keepBacklog(context, connection, rest, now);
    return;
  }
  context.counters[Counter.inputBytes]! += bufferBytes;
  connection.inputBacklog = rest;
}

/** Memory for at least `byteCount` bytes of input, or null, and the connection ended. */
function reserve(
  context: BrokerContext,
  connection: Connection,
  byteCount: number,
  now: Millis,
): Uint8Array | null {
  if (!admit(context, connection, byteCount, now)) return null;
  const buffer = context.buffers.acquire(byteCount);
  context.counters[Counter.inputBytes]! += buffer.length;
  return buffer;
}

/** False, and the connection ended: there is no memory for more input. */
function admit(
  context: BrokerContext,
  connection: Connection,
  byteCount: number,
  now: Millis,
): boolean {
  if (context.counters[Counter.inputBytes]! + byteCount <= context.limits.inputBytesMax)
    return true;
  fail(context, connection, Reason.QuotaExceeded, now);
  return false;
}

/** Rows of the chunk at hand. One table serves all: chunks are handled one at a time. */
const table = new Uint32Array(1024 * ROW_WORDS);
/** For input that parked its connection and may do so again: frames are found once, and not at each packet. */
const fewRows = new Uint32Array(16 * ROW_WORDS);
/** Room for a packet whose length is not known yet. */
const PARTIAL_BYTES_MIN = 8;
/** A packet up to this long gets all its room at once, when a fair part of it has come. */
const PARTIAL_BYTES_SMALL = 131_072;
/** So many times what has come: or a few bytes each, from many, would use up the memory for input. */
const AHEAD_FACTOR_MAX = 32;
const PARTIAL_BYTES_BEGUN = 4096;
/** From this length on, a message takes over the buffer its packet came in. */
const OWNED_BYTES_MIN = 16_384;
