/**
 * CONNECT, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT of the simulated clients. Each is written to the same memory: the caller
 * sends it before it makes the next one.
 */
import type { Message } from "./messages.ts";
import type { Filter } from "./topics.ts";
import { topicBytes } from "./topics.ts";
import { type Level, writeLength, writeLong, writeShort } from "./wire.ts";

export interface ConnectOptions {
  readonly isClean: boolean;
  /** MQTT 5.0: the Session Expiry Interval; -1: none. */
  readonly expirySeconds: number;
  /** MQTT 5.0; 0: none. */
  readonly receiveMax: number;
  readonly topicAliasMax: number;
  readonly will: Message | null;
  readonly willDelaySeconds: number;
}

export function connect(level: Level, clientId: Uint8Array, options: ConnectOptions): Uint8Array {
  const { isClean, expirySeconds, receiveMax, topicAliasMax, will } = options;
  let at = writeText(BODY_START, PROTOCOL_NAME);
  bytes[at++] = level;
  const willFlags = will === null ? 0 : 4 | (will.qos << 3) | (will.isRetained ? 0x20 : 0);
  bytes[at++] = (isClean ? 2 : 0) | willFlags;
  // No keep alive.
  at = writeShort(bytes, at, 0);
  if (level === 5) {
    const start = at++;
    if (expirySeconds >= 0) at = writeLongProperty(at, 0x11, expirySeconds);
    if (receiveMax > 0) at = writeShortProperty(at, 0x21, receiveMax);
    if (topicAliasMax > 0) at = writeShortProperty(at, 0x22, topicAliasMax);
    bytes[start] = at - start - 1;
  }
  at = writeText(at, clientId);
  if (will !== null) at = writeWill(at, level, will, options.willDelaySeconds);
  return packet(0x10, at);
}

function writeWill(at: number, level: Level, will: Message, delaySeconds: number): number {
  const { topic, number, expirySeconds, payloadBytes } = will;
  if (level === 5) {
    const start = at++;
    if (delaySeconds > 0) at = writeLongProperty(at, 0x18, delaySeconds);
    if (expirySeconds >= 0) at = writeLongProperty(at, 0x02, expirySeconds);
    bytes[start] = at - start - 1;
  }
  at = writeText(at, topicBytes[topic]!);
  at = writeShort(bytes, at, payloadBytes);
  if (payloadBytes === 0) return at;
  writeLong(bytes, at, number);
  bytes.fill(0, at + 4, at + payloadBytes);
  return at + payloadBytes;
}

/** `identifier`: the Subscription Identifier; 0: none. */
export function subscribe(
  level: Level,
  id: number,
  filters: readonly Filter[],
  flags: number,
  identifier: number,
): Uint8Array {
  let at = writeShort(bytes, BODY_START, id);
  if (level === 5) {
    const start = at++;
    if (identifier > 0) {
      bytes[at++] = 0x0b;
      at = writeLength(bytes, at, identifier);
    }
    bytes[start] = at - start - 1;
  }
  for (const filter of filters) {
    at = writeText(at, filter.bytes);
    bytes[at++] = flags;
  }
  return packet(0x82, at);
}

export function unsubscribe(level: Level, id: number, filters: readonly Filter[]): Uint8Array {
  let at = writeShort(bytes, BODY_START, id);
  if (level === 5) bytes[at++] = 0;
  for (const filter of filters) at = writeText(at, filter.bytes);
  return packet(0xa2, at);
}

/** `expirySeconds`: the Session Expiry Interval, MQTT 5.0; -1: none. */
export function disconnect(level: Level, reason: number, expirySeconds: number): Uint8Array {
  let at = BODY_START;
  if (level === 5) {
    bytes[at++] = reason;
    const start = at++;
    if (expirySeconds >= 0) at = writeLongProperty(at, 0x11, expirySeconds);
    bytes[start] = at - start - 1;
  }
  return packet(0xe0, at);
}

/** Puts the fixed header before the body that ends at `end`. */
function packet(first: number, end: number): Uint8Array {
  const length = end - BODY_START;
  const start = BODY_START - (length > 0x7f ? 3 : 2);
  bytes[start] = first;
  writeLength(bytes, start + 1, length);
  return bytes.subarray(start, end);
}

function writeText(at: number, text: Uint8Array): number {
  at = writeShort(bytes, at, text.length);
  for (let i = 0; i < text.length; i++) bytes[at++] = text[i]!;
  return at;
}

function writeShortProperty(at: number, id: number, value: number): number {
  bytes[at] = id;
  return writeShort(bytes, at + 1, value);
}

function writeLongProperty(at: number, id: number, value: number): number {
  bytes[at] = id;
  return writeLong(bytes, at + 1, value);
}

const bytes = new Uint8Array(4096);
/** Before it is room for the fixed header. */
const BODY_START = 3;
const PROTOCOL_NAME = Uint8Array.of(0x4d, 0x51, 0x54, 0x54);
