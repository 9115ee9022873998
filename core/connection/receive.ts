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
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { handleAcknowledgement } from "./acknowledge.ts";
import { answerNow, PINGRESP } from "./answer.ts";
import { handleAuth } from "./authenticate.ts";
import { handleConnect } from "./connect.ts";
import type { Connection } from "./connection.ts";
import { Parked, Stage } from "./connection.ts";
import { handleDisconnect } from "./disconnect.ts";
import { fail } from "./end.ts";
import { faultOfFirstByte } from "./first-byte.ts";
import type { Parts } from "./parts.ts";
import { handlePublish } from "./publish.ts";
import { handleSubscribe, handleUnsubscribe } from "./subscribe.ts";

/** Handles a chunk that is lent. False: no more is to be read until a `Read` effect. */
export function receive(
  parts: Parts,
  connection: Connection,
  chunk: Uint8Array,
  now: Millis,
): boolean {
  parts.counters[Counter.bytesReceived]! += chunk.length;
  if (connection.stage >= Stage.Closing) return true;
  if (connection.parked === 0) consume(parts, connection, chunk, false, now);
  else hold(parts, connection, chunk, now);
  connection.owesRead = connection.parked !== 0;
  return !connection.owesRead;
}

/** Answers have been written: what waited for room for more of them goes on. */
export function unparkAnswered(parts: Parts, connection: Connection, now: Millis): void {
  let over: number = connection.answers === null ? Parked.Output : 0;
  if (connection.receivedCount < parts.limits.receiveMax) over |= Parked.Received;
  over &= connection.parked;
  if (over === 0) return;
  // The host has yet to read a payload that it was lent with them.
  parts.messages.keepLent();
  unpark(parts, connection, over, now);
}

/** What parked the connection is over: handles what was held, and reads on if that was all. */
export function unpark(parts: Parts, connection: Connection, bits: number, now: Millis): void {
  connection.parked &= ~bits;
  if (!connection.isReading) return;
  const { held } = connection;
  if (held !== null) {
    connection.held = null;
    parts.counters[Counter.inputBytes]! -= held.buffer.byteLength;
    consume(parts, connection, held, true, now);
    if (!connection.isReading) return;
  }
  if (connection.owesRead) {
    connection.owesRead = false;
    parts.effect(EffectKind.Read, connection, Reason.Success);
  }
}

/** `isHeld`: the chunk is what was held, which may be kept as it is and may park the connection again soon. */
function consume(
  parts: Parts,
  connection: Connection,
  chunk: Uint8Array,
  isHeld: boolean,
  now: Millis,
): void {
  let start = 0;
  if (connection.partial !== null) {
    start = extendPartial(parts, connection, chunk, now);
    if (!connection.isReading) return;
    const { partial, partialBytes } = connection;
    if (frameBytes(partial!, 0, partialBytes) !== partialBytes) return;
    connection.partial = null;
    parts.counters[Counter.inputBytes]! -= partial!.length;
    const frame = partial!.subarray(0, partialBytes);
    // A long packet becomes the message together with its buffer, uncopied.
    const owned = partialBytes >= OWNED_BYTES_MIN ? partial : null;
    const { adoptedCount } = parts.messages;
    const end = handleFrames(parts, connection, frame, 0, owned, table, now);
    if (!connection.isReading && end < partialBytes) hold(parts, connection, frame, now);
    if (parts.messages.adoptedCount === adoptedCount) parts.buffers.give(partial!);
  }
  if (connection.isReading && start < chunk.length) {
    start = handleFrames(parts, connection, chunk, start, null, isHeld ? fewRows : table, now);
  }
  if (start === chunk.length) return;
  if (connection.isReading) {
    beginPartial(parts, connection, chunk, start, now);
    return;
  }
  const rest = start === 0 ? chunk : chunk.subarray(start);
  if (isHeld && connection.held === null) holdOn(parts, connection, rest, now);
  else hold(parts, connection, rest, now);
}

/**
 * Handles the complete frames of `bytes[start, …)` until there are no more, or the connection waits or
 * ends. Returns where the first that was not handled begins. `owned` is the buffer that `bytes` begins,
 * where a message may have it. The first frames are found with `rowTable`.
 */
function handleFrames(
  parts: Parts,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  owned: Uint8Array | null,
  rowTable: Uint32Array,
  now: Millis,
): number {
  const { ingest, counters } = parts;
  const { packetBytesMax } = parts.limits;
  for (let found = rowTable; ; found = table) {
    const rows = ingest.scan(bytes, start, found, packetBytesMax);
    if (rows === 0) return start;
    if (rows < 0) {
      // The same reason, whether its first byte came alone or with what follows.
      const fault = faultOfFirstByte(parts, connection, bytes[start]!);
      const reason = fault === Reason.Success ? (-rows as ReasonCode) : fault;
      fail(parts, connection, reason, now);
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
          ? handlePublish(parts, connection, bytes, offset, header, remaining, topic, owned, now)
          : handlePacket(parts, connection, bytes, offset, header, remaining, now);
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
  parts: Parts,
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
  const fault = faultOfFirstByte(parts, connection, header & 0xff);
  if (fault !== Reason.Success) return fail(parts, connection, fault, now);
  switch (type) {
    case PacketType.Connect:
      return handleConnect(parts, connection, bytes, start, end, now);
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
      handleAcknowledgement(parts, connection, type, bytes, start, remaining, now);
      return true;
    case PacketType.Subscribe:
      return handleSubscribe(parts, connection, bytes, start, end, now);
    case PacketType.Unsubscribe:
      return handleUnsubscribe(parts, connection, bytes, start, end, now);
    case PacketType.Pingreq:
      if (remaining !== 0) return fail(parts, connection, Reason.MalformedPacket, now);
      answerNow(parts, connection, PINGRESP); // [MQTT311-3.12.4-1] [MQTT-3.12.4-1]
      return true;
    case PacketType.Disconnect:
      return handleDisconnect(parts, connection, bytes, start, end, now);
    default:
      // AUTH: a first byte of any other type is at fault.
      return handleAuth(parts, connection, bytes, start, end, now, (connect) =>
        handleConnect(parts, connection, connect, 0, connect.length, now),
      );
  }
}

/** Keeps the beginning of a packet, `chunk[start, …)`, unless its first byte says that it is none. */
function beginPartial(
  parts: Parts,
  connection: Connection,
  chunk: Uint8Array,
  start: number,
  now: Millis,
): void {
  const fault = faultOfFirstByte(parts, connection, chunk[start]!);
  if (fault !== Reason.Success) {
    fail(parts, connection, fault, now);
    return;
  }
  const have = chunk.length - start;
  const total = frameBytes(chunk, start, chunk.length);
  const partial = reserve(parts, connection, capacityFor(total, have), now);
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
  parts: Parts,
  connection: Connection,
  chunk: Uint8Array,
  now: Millis,
): number {
  let start = 0;
  for (;;) {
    const have = connection.partialBytes;
    const total = frameBytes(connection.partial!, 0, have);
    if (total < 0 || total > parts.limits.packetBytesMax) {
      fail(parts, connection, total < 0 ? Reason.MalformedPacket : Reason.PacketTooLarge, now);
      return start;
    }
    // While its length is not known, byte by byte: there are at most five of them.
    const missing = total === 0 ? 1 : total - have;
    const take = Math.min(missing, chunk.length - start);
    if (take === 0) return start;
    if (have + take > connection.partial!.length) {
      const larger = reserve(parts, connection, capacityFor(total, have + take), now);
      if (larger === null) return start;
      larger.set(connection.partial!.subarray(0, have));
      parts.counters[Counter.inputBytes]! -= connection.partial!.length;
      parts.buffers.give(connection.partial!);
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
function hold(parts: Parts, connection: Connection, bytes: Uint8Array, now: Millis): void {
  if (connection.stage >= Stage.Closing) return;
  const before = connection.held;
  const byteCount = (before?.length ?? 0) + bytes.length;
  if (!admit(parts, connection, byteCount, now)) return;
  const held = new Uint8Array(byteCount);
  if (before !== null) {
    held.set(before);
    parts.counters[Counter.inputBytes]! -= before.buffer.byteLength;
  }
  held.set(bytes, before?.length ?? 0);
  parts.counters[Counter.inputBytes]! += byteCount;
  connection.held = held;
}

/** Holds on to the rest of what was held: uncopied, unless most of its buffer has been handled. */
function holdOn(parts: Parts, connection: Connection, rest: Uint8Array, now: Millis): void {
  const bufferBytes = rest.buffer.byteLength;
  if (connection.stage >= Stage.Closing || rest.length * 2 < bufferBytes) {
    hold(parts, connection, rest, now);
    return;
  }
  parts.counters[Counter.inputBytes]! += bufferBytes;
  connection.held = rest;
}

/** Memory for at least `byteCount` bytes of input, or null, and the connection ended. */
function reserve(
  parts: Parts,
  connection: Connection,
  byteCount: number,
  now: Millis,
): Uint8Array | null {
  if (!admit(parts, connection, byteCount, now)) return null;
  const buffer = parts.buffers.take(byteCount);
  parts.counters[Counter.inputBytes]! += buffer.length;
  return buffer;
}

/** False, and the connection ended: there is no memory for more input. */
function admit(parts: Parts, connection: Connection, byteCount: number, now: Millis): boolean {
  if (parts.counters[Counter.inputBytes]! + byteCount <= parts.limits.inputBytesMax) return true;
  fail(parts, connection, Reason.QuotaExceeded, now);
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
