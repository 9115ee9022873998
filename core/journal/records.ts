/**
 * The records of sessions and messages that outlive the process: keyed records in six tables, put
 * or removed when the state that they mirror changes.
 *
 * Keys and values are bytes, integers are big-endian. All records of one durable session id are
 * therefore adjacent in key order. Every value begins with `RECORD_FORMAT`.
 *
 * ```
 * Session       key  client identifier            value  durableId u32 · ends at f64 (Unix ms, 0: connected) ·
 *                                                        expiry interval f64 (ms)
 * Subscription  key  durableId u32 · filter           value  options u32
 * Message       key  message f64                  value  published u8 · expires at f64 · property bytes u32 ·
 *                                                        topic field · properties · payload
 * Queue         key  durableId u32 · kind u8 · n u32  value  order f64 · message f64 · delivery u8 ·
 *                                                        share bytes u16 · share · Subscription Identifiers
 * Retained      key  topic name                   value  message f64 · expires at f64 (Unix ms, 0: never)
 * Will          key  client identifier            value  message f64 · delay f64 (ms) · expiry f64 (ms) ·
 *                                                        due at f64 (Unix ms, 0: connected)
 * ```
 *
 * A message is stored once, as long as a Queue, Retained or Will record refers to it. The kinds of
 * Queue records are those of `QueueRecordKind`; `n` is the position number for Queued, the packet
 * identifier for the others. `order` is the number of the write, so that larger is later. Released and
 * Receipt records end with it. `share` is the shared subscription that the message was chosen for, as
 * `$share/name/filter`; empty: none.
 */
import { copyBytes, viewOf } from "../base/bytes.ts";
import { grownU32 } from "../base/columns.ts";
import { NEVER, Table } from "../boundary.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { REMOVED } from "./batch.ts";
import type { Journal } from "./journal.ts";

/** The number of a recorded session, in the keys of its records; 0: the session is not recorded. */
export type DurableSessionId = number;

/** The kinds of records in the Queue table. */
export const QueueRecordKind = {
  /** Queued until the window has room or the client connects. */ Queued: 1,
  /** Has a packet identifier: sent or about to be sent, and not acknowledged. */ Sent: 2,
  /** QoS 2: received by the client. PUBREL is sent until PUBCOMP. No message. */ Released: 3,
  /** QoS 2 inbound: the identifier was received and is not yet released. No message. */ Receipt: 4,
} as const;
export type QueueRecordKind = (typeof QueueRecordKind)[keyof typeof QueueRecordKind];

/** The subscriptions that a queued message was matched by, as far as its record has them. */
export interface RecordedOrigin {
  /** The Subscription Identifier properties as encoded in a PUBLISH. */
  readonly properties: Uint8Array;
  /** `$share/name/filter` in UTF-8; empty: no shared subscription. */
  readonly share: Uint8Array;
}

export class Records {
  readonly #journal: Journal;
  readonly #messages: MessagePool;
  /** How many records refer to the message in a slot. */
  #references: Uint32Array = new Uint32Array(64);
  #lastDurableId = 0;
  /** Unix time, in milliseconds, at `Millis` zero. */
  epochMillis = 0;

  constructor(journal: Journal, messages: MessagePool) {
    this.#journal = journal;
    this.#messages = messages;
  }

  /** The write that makes everything recorded so far durable. */
  get lastSeq(): number {
    return this.#journal.lastSeq;
  }

  newDurableId(): DurableSessionId {
    return ++this.#lastDurableId;
  }

  /** A recovered session has this id: new ones get larger ids. */
  keepDurableId(durableId: DurableSessionId): void {
    this.#lastDurableId = Math.max(this.#lastDurableId, durableId);
  }

  /** Whether a record refers to a message. */
  isReferenced(message: MessageSlot): boolean {
    return (this.#references[message] ?? 0) > 0;
  }

  /** Removes a damaged record of a store. */
  removeKey(table: Table, key: Uint8Array): void {
    const at = this.#journal.begin(table, key.length, REMOVED);
    copyBytes(key, 0, key.length, this.#journal.bytes, at);
    this.#journal.finish(false);
  }

  /** A recovered record refers to a message. */
  keepMessage(message: MessageSlot): void {
    this.#references = grownU32(this.#references, message);
    this.#references[message]!++;
  }

  /**
   * `endsAt` is Unix time in milliseconds; 0 while the client is connected. `expiryMillis` is the
   * session expiry interval. `isNew`: the session has no record.
   */
  putSession(
    clientId: string,
    durableId: DurableSessionId,
    { endsAt, expiryMillis, isNew }: SessionTimes,
  ): void {
    const at = this.#beginText(Table.Session, clientId, 21);
    const { view } = this.#journal;
    view.setUint32(at, durableId);
    view.setFloat64(at + 4, endsAt);
    view.setFloat64(at + 12, expiryMillis);
    this.#journal.finish(isNew);
  }

  removeSession(clientId: string): void {
    this.#removeText(Table.Session, clientId);
  }

  /** `isNew`: the session has no record of this subscription. */
  putSubscription(
    durableId: DurableSessionId,
    filter: string,
    options: number,
    isNew: boolean,
  ): void {
    const text = encodeUtf8(filter);
    const at = this.#beginSubscription(durableId, text, 5);
    this.#journal.bytes[at] = RECORD_FORMAT;
    this.#journal.view.setUint32(at + 1, options);
    this.#journal.finish(isNew);
  }

  removeSubscription(durableId: DurableSessionId, filter: string): void {
    this.#beginSubscription(durableId, encodeUtf8(filter), REMOVED);
    this.#journal.finish(false);
  }

  /** Records a message in the queue of a session. The key has no record. */
  putQueued(
    durableId: DurableSessionId,
    kind: QueueRecordKind,
    n: number,
    message: MessageSlot,
    delivery: number,
    origin: RecordedOrigin | null,
  ): void {
    this.#retainMessage(message);
    const shareBytes = origin === null ? 0 : origin.share.length;
    const propertyBytes = origin === null ? 0 : origin.properties.length;
    const valueBytes = QUEUED_HEAD_BYTES + shareBytes + propertyBytes;
    const at = this.#beginQueue(durableId, kind, n, valueBytes);
    const { bytes, view } = this.#journal;
    bytes[at] = RECORD_FORMAT;
    view.setFloat64(at + 1, this.#journal.lastSeq + 1);
    view.setFloat64(at + 9, this.#messages.serial(message));
    bytes[at + 17] = delivery;
    view.setUint16(at + 18, shareBytes);
    if (origin !== null) {
      copyBytes(origin.share, 0, shareBytes, bytes, at + QUEUED_HEAD_BYTES);
      copyBytes(origin.properties, 0, propertyBytes, bytes, at + QUEUED_HEAD_BYTES + shareBytes);
    }
    this.#journal.finish(true);
  }

  removeQueued(
    durableId: DurableSessionId,
    kind: QueueRecordKind,
    n: number,
    message: MessageSlot,
  ): void {
    this.removeIdentifier(durableId, kind, n);
    this.#releaseMessage(message);
  }

  /**
   * Records a packet identifier without a message: `QueueRecordKind.Released` or `.Receipt`. The key
   * has no record.
   */
  putIdentifier(durableId: DurableSessionId, kind: QueueRecordKind, packetId: number): void {
    const at = this.#beginQueue(durableId, kind, packetId, IDENTIFIER_BYTES);
    this.#journal.bytes[at] = RECORD_FORMAT;
    this.#journal.view.setFloat64(at + 1, this.#journal.lastSeq + 1);
    this.#journal.finish(true);
  }

  removeIdentifier(durableId: DurableSessionId, kind: QueueRecordKind, packetId: number): void {
    this.#beginQueue(durableId, kind, packetId, REMOVED);
    this.#journal.finish(false);
  }

  /**
   * `expiresAt` is Unix time in milliseconds, 0: never. `before` is the message that it replaces,
   * or 0.
   */
  putRetained(topic: string, message: MessageSlot, before: MessageSlot, expiresAt: number): void {
    this.#retainMessage(message);
    if (before !== 0) this.#releaseMessage(before);
    const at = this.#beginText(Table.Retained, topic, 17);
    this.#journal.view.setFloat64(at, this.#messages.serial(message));
    this.#journal.view.setFloat64(at + 8, expiresAt);
    this.#journal.finish(before === 0);
  }

  removeRetained(topic: string, message: MessageSlot): void {
    this.#removeText(Table.Retained, topic);
    this.#releaseMessage(message);
  }

  /**
   * Records the will of a client; replaces a record of the same will. `dueAt` is Unix time in
   * milliseconds; 0 while the client is connected.
   */
  putWill(clientId: string, will: RecordedWill, dueAt: number): void {
    if (dueAt === 0) this.#retainMessage(will.message);
    const at = this.#beginText(Table.Will, clientId, 33);
    const { view } = this.#journal;
    view.setFloat64(at, this.#messages.serial(will.message));
    view.setFloat64(at + 8, will.delayMillis);
    view.setFloat64(at + 16, will.expiryMillis);
    view.setFloat64(at + 24, dueAt);
    this.#journal.finish(dueAt === 0);
  }

  removeWill(clientId: string, message: MessageSlot): void {
    this.#removeText(Table.Will, clientId);
    this.#releaseMessage(message);
  }

  #retainMessage(message: MessageSlot): void {
    this.#references = grownU32(this.#references, message);
    if (this.#references[message]!++ > 0) return;
    const messages = this.#messages;
    const from = messages.bytes(message);
    const topicStart = messages.topicStart(message);
    const topicEnd = topicStart + messages.topicBytes(message);
    const propertyStart = messages.propertyStart(message);
    const propertyBytes = messages.propertyBytes(message);
    const payloadStart = messages.payloadStart(message);
    const payloadEnd = payloadStart + messages.payloadBytes(message);
    const valueBytes = MESSAGE_HEAD_BYTES + messages.size(message);
    let at = this.#journal.begin(Table.Message, MESSAGE_KEY_BYTES, valueBytes);
    const { bytes, view } = this.#journal;
    view.setFloat64(at, messages.serial(message));
    at += MESSAGE_KEY_BYTES;
    bytes[at] = RECORD_FORMAT;
    bytes[at + 1] = messages.qos(message) | (messages.isRetained(message) ? PUBLISHED_RETAIN : 0);
    const expiresAt = messages.expiresAt(message);
    view.setFloat64(at + 2, expiresAt === NEVER ? 0 : this.epochMillis + expiresAt);
    view.setUint32(at + 10, propertyBytes);
    at += MESSAGE_HEAD_BYTES;
    copyBytes(from, topicStart, topicEnd, bytes, at);
    at += topicEnd - topicStart;
    copyBytes(from, propertyStart, propertyStart + propertyBytes, bytes, at);
    copyBytes(from, payloadStart, payloadEnd, bytes, at + propertyBytes);
    this.#journal.finish(true);
  }

  #releaseMessage(message: MessageSlot): void {
    if (--this.#references[message]! > 0) return;
    const at = this.#journal.begin(Table.Message, MESSAGE_KEY_BYTES, REMOVED);
    this.#journal.view.setFloat64(at, this.#messages.serial(message));
    this.#journal.finish(false);
  }

  /** Begins a write whose key is a text; returns where the value goes, behind its format. */
  #beginText(table: Table, text: string, valueBytes: number): number {
    const key = encodeUtf8(text);
    const at = this.#journal.begin(table, key.length, valueBytes);
    copyBytes(key, 0, key.length, this.#journal.bytes, at);
    this.#journal.bytes[at + key.length] = RECORD_FORMAT;
    return at + key.length + 1;
  }

  #removeText(table: Table, text: string): void {
    const key = encodeUtf8(text);
    const at = this.#journal.begin(table, key.length, REMOVED);
    copyBytes(key, 0, key.length, this.#journal.bytes, at);
    this.#journal.finish(false);
  }

  /** Begins a write; returns where the value goes. */
  #beginSubscription(durableId: DurableSessionId, filter: Uint8Array, valueBytes: number): number {
    const at = this.#journal.begin(Table.Subscription, 4 + filter.length, valueBytes);
    this.#journal.view.setUint32(at, durableId);
    copyBytes(filter, 0, filter.length, this.#journal.bytes, at + 4);
    return at + 4 + filter.length;
  }

  /** Begins a write; returns where the value goes. */
  #beginQueue(
    durableId: DurableSessionId,
    kind: QueueRecordKind,
    n: number,
    valueBytes: number,
  ): number {
    const at = this.#journal.begin(Table.Queue, QUEUE_KEY_BYTES, valueBytes);
    const { view } = this.#journal;
    view.setUint32(at, durableId);
    view.setUint8(at + 4, kind);
    view.setUint32(at + 5, n);
    return at + QUEUE_KEY_BYTES;
  }
}

interface SessionTimes {
  readonly endsAt: number;
  readonly expiryMillis: number;
  readonly isNew: boolean;
}

export function subscriptionKey(durableId: DurableSessionId, filter: Uint8Array): Uint8Array {
  const key = new Uint8Array(4 + filter.length);
  viewOf(key).setUint32(0, durableId);
  key.set(filter, 4);
  return key;
}

export function messageKey(serial: number): Uint8Array {
  const key = new Uint8Array(MESSAGE_KEY_BYTES);
  viewOf(key).setFloat64(0, serial);
  return key;
}

export function queueKey(
  durableId: DurableSessionId,
  kind: QueueRecordKind,
  n: number,
): Uint8Array {
  const key = new Uint8Array(QUEUE_KEY_BYTES);
  const view = viewOf(key);
  view.setUint32(0, durableId);
  view.setUint8(4, kind);
  view.setUint32(5, n);
  return key;
}

/** The fields of a will that its record has. */
export interface RecordedWill {
  readonly message: MessageSlot;
  readonly delayMillis: number;
  readonly expiryMillis: number;
}

/** Version of the layouts above. */
export const RECORD_FORMAT = 1;
export const MESSAGE_KEY_BYTES = 8;
export const MESSAGE_HEAD_BYTES = 14;
export const PUBLISHED_RETAIN = 4;
export const QUEUE_KEY_BYTES = 9;
export const QUEUED_HEAD_BYTES = 20;
const IDENTIFIER_BYTES = 9;
