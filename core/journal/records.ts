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
import { copyBytes } from "../base/bytes.ts";
import { NEVER, Table } from "../boundary.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { REMOVED } from "./batch.ts";
import type { Journal } from "./journal.ts";
import type { MessageReferences } from "./message-references.ts";
import type { DurableSessionId, QueueRecordKind } from "./record-keys.ts";
import {
  MESSAGE_HEAD_BYTES,
  MESSAGE_KEY_BYTES,
  PUBLISHED_RETAIN,
  QUEUE_KEY_BYTES,
  QUEUED_HEAD_BYTES,
  RECORD_FORMAT,
} from "./record-keys.ts";

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
  /** Which messages records refer to. */
  readonly references: MessageReferences;
  /** The removals of sessions that may not be durable, in the order of the writes. */
  readonly #removedSessions = new Map<string, number>();
  #lastDurableId = 0;
  /** Unix time, in milliseconds, at `Millis` zero. */
  epochMillis = 0;

  constructor(journal: Journal, messages: MessagePool, references: MessageReferences) {
    this.#journal = journal;
    this.#messages = messages;
    this.references = references;
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

  /** Removes a damaged record of a store. */
  removeKey(table: Table, key: Uint8Array): void {
    const at = this.#journal.begin(table, key.length, REMOVED);
    copyBytes(key, 0, key.length, this.#journal.bytes, at);
    this.#journal.finish(false);
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
    const { committed, lastSeq } = this.#journal;
    for (const [other, seq] of this.#removedSessions) {
      if (seq > committed) break;
      this.#removedSessions.delete(other);
    }
    // Deleted first, so that the map keeps the order of the writes.
    this.#removedSessions.delete(clientId);
    this.#removedSessions.set(clientId, lastSeq);
  }

  /**
   * Whether a session with this client identifier has ended and may still be in the store: after a
   * crash it would be there again.
   */
  mayRestoreSession(clientId: string): boolean {
    return (this.#removedSessions.get(clientId) ?? 0) > this.#journal.committed;
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
    view.setFloat64(at + 9, this.references.serial(message));
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
    this.references.startRetaining(message);
    if (before !== 0) this.#releaseRetained(before);
    const at = this.#beginText(Table.Retained, topic, 17);
    this.#journal.view.setFloat64(at, this.#messages.serial(message));
    this.#journal.view.setFloat64(at + 8, expiresAt);
    this.#journal.finish(before === 0);
  }

  removeRetained(topic: string, message: MessageSlot): void {
    this.#removeText(Table.Retained, topic);
    this.#releaseRetained(message);
  }

  #releaseRetained(message: MessageSlot): void {
    this.references.endRetaining(message);
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
    if (!this.references.retain(message)) return;
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
    this.references.noteWritten(message, this.#journal.lastSeq);
  }

  #releaseMessage(message: MessageSlot): void {
    this.#removeMessage(this.references.release(message));
  }

  /** Releases a paged message that no record refers to. With its last reference, its record goes. */
  releasePaged(paged: MessageSlot): void {
    this.#removeMessage(this.references.releasePaged(paged));
  }

  /** 0: the record stays. */
  #removeMessage(serial: number): void {
    if (serial === 0) return;
    const at = this.#journal.begin(Table.Message, MESSAGE_KEY_BYTES, REMOVED);
    this.#journal.view.setFloat64(at, serial);
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

/** The fields of a will that its record has. */
export interface RecordedWill {
  readonly message: MessageSlot;
  readonly delayMillis: number;
  readonly expiryMillis: number;
}

const IDENTIFIER_BYTES = 9;
