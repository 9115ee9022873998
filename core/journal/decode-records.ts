/**
 * Decodes the keys and values of records (records.ts has their layout). Each function returns null
 * for a record that is damaged.
 */
import { viewOf } from "../base/bytes.ts";
import { Property } from "../codec/properties.ts";
import { areMessageProperties } from "../codec/property-values.ts";
import { Reader } from "../codec/reader.ts";
import { decodeUtf8, isUtf8 } from "../codec/utf8.ts";
import { isTopicFilter } from "../topic/filter.ts";
import { isTopicName } from "../topic/name.ts";
import type { DurableSessionId, QueueRecordKind } from "./record-keys.ts";
import {
  DURABLE_ID_MAX,
  QueueRecordKind as Kind,
  MESSAGE_HEAD_BYTES,
  MESSAGE_KEY_BYTES,
  ORDER_MAX,
  PUBLISHED_RETAIN,
  QUEUE_KEY_BYTES,
  QUEUED_HEAD_BYTES,
  SERIAL_MAX,
} from "./record-keys.ts";

export interface SessionFields {
  readonly clientId: string;
  readonly durableId: DurableSessionId;
  /** Unix time in milliseconds; 0: the client was connected. */
  readonly endsAt: number;
  readonly expiryMillis: number;
}

export function decodeSession(key: Uint8Array, value: Uint8Array): SessionFields | null {
  const clientId = textOf(key, 0);
  if (clientId === null || value.length !== 21) return null;
  const view = viewOf(value);
  const durableId = view.getUint32(1);
  const [endsAt, expiryMillis] = [view.getFloat64(5), view.getFloat64(13)];
  const isTime = endsAt >= 0 && expiryMillis >= 0;
  const isId = durableId >= 1 && durableId <= DURABLE_ID_MAX;
  return isId && isTime ? { clientId, durableId, endsAt, expiryMillis } : null;
}

export interface SubscriptionFields {
  readonly durableId: DurableSessionId;
  readonly filter: string;
  readonly options: number;
}

export function decodeSubscription(key: Uint8Array, value: Uint8Array): SubscriptionFields | null {
  if (key.length < 5 || value.length !== 5) return null;
  const filter = textOf(key, 4);
  if (filter === null || !isTopicFilter(key, 4, key.length, 65_535, 65_535)) return null;
  const options = viewOf(value).getUint32(1);
  return (options & 3) === 3 ? null : { durableId: viewOf(key).getUint32(0), filter, options };
}

export interface MessageFields {
  readonly serial: number;
  readonly qos: 0 | 1 | 2;
  readonly isRetained: boolean;
  /** Unix time in milliseconds; 0: never. */
  readonly expiresAt: number;
  /** Positions in the value: the topic field begins at `topicStart`, the payload ends with the value. */
  readonly topicStart: number;
  readonly topicEnd: number;
  readonly payloadStart: number;
}

export function decodeMessage(key: Uint8Array, value: Uint8Array): MessageFields | null {
  if (key.length !== MESSAGE_KEY_BYTES) return null;
  return decodeMessageValue(viewOf(key).getFloat64(0), value);
}

/** Like `decodeMessage`, with the serial that the key consists of. */
export function decodeMessageValue(serial: number, value: Uint8Array): MessageFields | null {
  const topicStart = MESSAGE_HEAD_BYTES;
  if (value.length < topicStart + 2) return null;
  // Many messages are loaded, and a view of each costs more than a copy of its head.
  for (let i = 0; i < topicStart + 2; i++) headBytes[i] = value[i]!;
  const qos = value[1]! & ~PUBLISHED_RETAIN;
  const expiresAt = head.getFloat64(2);
  const topicEnd = topicStart + 2 + head.getUint16(topicStart);
  const payloadStart = topicEnd + head.getUint32(10);
  const isSerial = Number.isInteger(serial) && serial >= 1 && serial <= SERIAL_MAX;
  const isSound = isSerial && qos <= 2 && expiresAt >= 0;
  if (!isSound || payloadStart > value.length) return null;
  if (!isUtf8(value, topicStart + 2, topicEnd)) return null;
  if (!isTopicName(value, topicStart + 2, topicEnd, 65_535, 65_535)) return null;
  const hasProperties = payloadStart > topicEnd;
  if (hasProperties && !areMessageProperties(value.subarray(topicEnd, payloadStart))) return null;
  const isRetained = (value[1]! & PUBLISHED_RETAIN) !== 0;
  return {
    serial,
    qos: qos as 0 | 1 | 2,
    isRetained,
    expiresAt,
    topicStart,
    topicEnd,
    payloadStart,
  };
}

const headBytes = new Uint8Array(MESSAGE_HEAD_BYTES + 2);
const head: DataView = viewOf(headBytes);

export interface QueueFields {
  readonly durableId: DurableSessionId;
  readonly kind: QueueRecordKind;
  /** The position number for Queued, the packet identifier for the other kinds. */
  readonly n: number;
  /** The number of the write: a larger one is later. */
  readonly order: number;
  /** The serial of the message; 0: the kind has none. */
  readonly serial: number;
  readonly delivery: number;
  /** `$share/name/filter`; empty: none. */
  readonly share: string;
  /** Where the Subscription Identifiers begin in the value. */
  readonly propertyStart: number;
}

export function decodeQueue(key: Uint8Array, value: Uint8Array): QueueFields | null {
  if (key.length !== QUEUE_KEY_BYTES || value.length < 9) return null;
  const view = viewOf(key);
  const [durableId, kind, n] = [view.getUint32(0), key[4]! as QueueRecordKind, view.getUint32(5)];
  const fields = viewOf(value);
  const order = fields.getFloat64(1);
  if (!Number.isInteger(order) || order < 1 || order > ORDER_MAX) return null;
  const isId = n >= 1 && n <= 0xffff;
  if (kind === Kind.Released || kind === Kind.Receipt) {
    if (value.length !== 9 || !isId) return null;
    return { durableId, kind, n, order, serial: 0, delivery: 0, share: "", propertyStart: 9 };
  }
  const isMessage = kind === Kind.Queued || (kind === Kind.Sent && isId);
  if (!isMessage || value.length < QUEUED_HEAD_BYTES) return null;
  const propertyStart = QUEUED_HEAD_BYTES + fields.getUint16(18);
  if (propertyStart > value.length) return null;
  const share = textOf(value, QUEUED_HEAD_BYTES, propertyStart);
  const delivery = value[17]!;
  const hasQos = (delivery & 3) === 1 || (delivery & 3) === 2;
  if (share === null || !hasQos || decodeIdentifiers(value, propertyStart) === null) return null;
  return {
    durableId,
    kind,
    n,
    order,
    serial: fields.getFloat64(9),
    delivery,
    share,
    propertyStart,
  };
}

/** The Subscription Identifiers of properties `bytes[start, …)`; null: they are not all such properties. */
export function decodeIdentifiers(bytes: Uint8Array, start = 0): readonly number[] | null {
  const reader = new Reader(bytes, start, bytes.length);
  const identifiers: number[] = [];
  while (reader.at < reader.end) {
    const isIdentifier = reader.u8() === Property.SubscriptionIdentifier;
    const identifier = reader.varint();
    if (!isIdentifier || identifier === 0 || !reader.isValid) return null;
    identifiers.push(identifier);
  }
  return identifiers;
}

export interface RetainedFields {
  readonly topic: string;
  readonly serial: number;
  /** Unix time in milliseconds; 0: never. */
  readonly expiresAt: number;
}

export function decodeRetained(key: Uint8Array, value: Uint8Array): RetainedFields | null {
  const topic = textOf(key, 0);
  if (topic === null || topic === "" || value.length !== 17) return null;
  const view = viewOf(value);
  const [serial, expiresAt] = [view.getFloat64(1), view.getFloat64(9)];
  return expiresAt >= 0 ? { topic, serial, expiresAt } : null;
}

export interface RecordedWillFields {
  readonly clientId: string;
  readonly serial: number;
  readonly delayMillis: number;
  readonly expiryMillis: number;
  /** Unix time in milliseconds; 0: the client was connected. */
  readonly dueAt: number;
}

export function decodeWill(key: Uint8Array, value: Uint8Array): RecordedWillFields | null {
  const clientId = textOf(key, 0);
  if (clientId === null || value.length !== 33) return null;
  const view = viewOf(value);
  const [serial, delayMillis] = [view.getFloat64(1), view.getFloat64(9)];
  const [expiryMillis, dueAt] = [view.getFloat64(17), view.getFloat64(25)];
  const isTime = delayMillis >= 0 && expiryMillis >= 0 && dueAt >= 0;
  return isTime ? { clientId, serial, delayMillis, expiryMillis, dueAt } : null;
}

function textOf(bytes: Uint8Array, start: number, end: number = bytes.length): string | null {
  return isUtf8(bytes, start, end) ? decodeUtf8(bytes, start, end) : null;
}
