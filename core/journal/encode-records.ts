/**
 * Encodes the keys and values of records for tools that write a store without a broker (records.ts has
 * their layout). They are what a broker with the same state writes.
 */
import { viewOf } from "../base/bytes.ts";
import { Table } from "../boundary.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import type {
  MessageFields,
  QueueFields,
  RecordedWillFields,
  RetainedFields,
  SessionFields,
  SubscriptionFields,
} from "./decode-records.ts";
import {
  isMessageKind,
  MESSAGE_HEAD_BYTES,
  messageKey,
  PUBLISHED_RETAIN,
  QUEUED_HEAD_BYTES,
  queueKey,
  RECORD_FORMAT,
  subscriptionKey,
} from "./record-keys.ts";

export interface EncodedRecord {
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export function encodeSession(fields: SessionFields): EncodedRecord {
  const { bytes, view } = newValue(21);
  view.setUint32(1, fields.durableId);
  view.setFloat64(5, fields.endsAt);
  view.setFloat64(13, fields.expiryMillis);
  return { table: Table.Session, key: encodeUtf8(fields.clientId), value: bytes };
}

export function encodeSubscription(fields: SubscriptionFields): EncodedRecord {
  const { bytes, view } = newValue(5);
  view.setUint32(1, fields.options);
  const key = subscriptionKey(fields.durableId, encodeUtf8(fields.filter));
  return { table: Table.Subscription, key, value: bytes };
}

/** `properties`: those that receivers get, as encoded in a PUBLISH. */
export function encodeMessage(
  fields: Pick<MessageFields, "serial" | "qos" | "isRetained" | "expiresAt">,
  topic: string,
  properties: Uint8Array,
  payload: Uint8Array,
): EncodedRecord {
  const name = encodeUtf8(topic);
  const topicStart = MESSAGE_HEAD_BYTES;
  const propertyStart = topicStart + 2 + name.length;
  const payloadStart = propertyStart + properties.length;
  const { bytes, view } = newValue(payloadStart + payload.length);
  bytes[1] = fields.qos | (fields.isRetained ? PUBLISHED_RETAIN : 0);
  view.setFloat64(2, fields.expiresAt);
  view.setUint32(10, properties.length);
  view.setUint16(topicStart, name.length);
  bytes.set(name, topicStart + 2);
  bytes.set(properties, propertyStart);
  bytes.set(payload, payloadStart);
  return { table: Table.Message, key: messageKey(fields.serial), value: bytes };
}

/** `identifiers`: the Subscription Identifier properties as encoded in a PUBLISH. */
export function encodeQueue(
  fields: Omit<QueueFields, "propertyStart">,
  identifiers: Uint8Array,
): EncodedRecord {
  const { durableId, kind, n } = fields;
  const hasMessage = isMessageKind(kind);
  const share = encodeUtf8(fields.share);
  const valueBytes = hasMessage ? QUEUED_HEAD_BYTES + share.length + identifiers.length : 9;
  const { bytes, view } = newValue(valueBytes);
  view.setFloat64(1, fields.order);
  if (hasMessage) {
    view.setFloat64(9, fields.serial);
    bytes[17] = fields.delivery;
    view.setUint16(18, share.length);
    bytes.set(share, QUEUED_HEAD_BYTES);
    bytes.set(identifiers, QUEUED_HEAD_BYTES + share.length);
  }
  return { table: Table.Queue, key: queueKey(durableId, kind, n), value: bytes };
}

export function encodeRetained(fields: RetainedFields): EncodedRecord {
  const { bytes, view } = newValue(17);
  view.setFloat64(1, fields.serial);
  view.setFloat64(9, fields.expiresAt);
  return { table: Table.Retained, key: encodeUtf8(fields.topic), value: bytes };
}

export function encodeWill(fields: RecordedWillFields): EncodedRecord {
  const { bytes, view } = newValue(33);
  view.setFloat64(1, fields.serial);
  view.setFloat64(9, fields.delayMillis);
  view.setFloat64(17, fields.expiryMillis);
  view.setFloat64(25, fields.dueAt);
  return { table: Table.Will, key: encodeUtf8(fields.clientId), value: bytes };
}

function newValue(byteCount: number): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(byteCount);
  bytes[0] = RECORD_FORMAT;
  return { bytes, view: viewOf(bytes) };
}
