/**
 * The records of sessions and messages that outlive the process: keyed records in five tables, put
 * or removed when the state that they mirror changes.
 *
 * Keys and values are bytes, integers are big-endian. All records of one durable session id are
 * therefore adjacent in key order. Every value begins with `FORMAT`.
 *
 * ```
 * Session       key  client identifier            value  durableId u32 · ends at f64 (Unix ms, 0: connected)
 * Subscription  key  durableId u32 · filter           value  options u32
 * Message       key  message f64                  value  published u8 · expires at f64 · property bytes u32 ·
 *                                                        topic field · properties · payload
 * Queue         key  durableId u32 · kind u8 · n u32  value  message f64 · delivery u8 · Subscription Identifiers
 * Retained      key  topic name                   value  message f64 · expires at f64 (Unix ms, 0: never)
 * ```
 *
 * A message is stored once, as long as a Queue or Retained record refers to it. The kinds of Queue
 * records are those of `QueueRecordKind`; `n` is the position number for Queued, the packet
 * identifier for the others.
 */
import { grownU32 } from "../base/columns.ts";
import { NEVER, Table } from "../boundary.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
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

  /** `endsAt` is Unix time in milliseconds; 0 while the client is connected. */
  putSession(clientId: string, durableId: DurableSessionId, endsAt: number): void {
    const value = new Uint8Array(13);
    const view = viewOf(value);
    value[0] = FORMAT;
    view.setUint32(1, durableId);
    view.setFloat64(5, endsAt);
    this.#journal.write(Table.Session, encodeUtf8(clientId), value);
  }

  removeSession(clientId: string): void {
    this.#journal.write(Table.Session, encodeUtf8(clientId), null);
  }

  putSubscription(durableId: DurableSessionId, filter: string, options: number): void {
    const value = new Uint8Array(5);
    value[0] = FORMAT;
    viewOf(value).setUint32(1, options);
    this.#journal.write(Table.Subscription, subscriptionKey(durableId, filter), value);
  }

  removeSubscription(durableId: DurableSessionId, filter: string): void {
    this.#journal.write(Table.Subscription, subscriptionKey(durableId, filter), null);
  }

  /** Records a message in the queue of a session; replaces a record with the same key. */
  putQueued(
    durableId: DurableSessionId,
    kind: QueueRecordKind,
    n: number,
    message: MessageSlot,
    delivery: number,
    origin: { readonly properties: Uint8Array } | null,
  ): void {
    this.#retainMessage(message);
    const value = new Uint8Array(10 + (origin?.properties.length ?? 0));
    value[0] = FORMAT;
    viewOf(value).setFloat64(1, this.#messages.serial(message));
    value[9] = delivery;
    if (origin !== null) value.set(origin.properties, 10);
    this.#journal.write(Table.Queue, queueKey(durableId, kind, n), value);
  }

  removeQueued(
    durableId: DurableSessionId,
    kind: QueueRecordKind,
    n: number,
    message: MessageSlot,
  ): void {
    this.#journal.write(Table.Queue, queueKey(durableId, kind, n), null);
    this.#releaseMessage(message);
  }

  /** Records a packet identifier without a message: `QueueRecordKind.Released` or `.Receipt`. */
  putIdentifier(durableId: DurableSessionId, kind: QueueRecordKind, packetId: number): void {
    this.#journal.write(Table.Queue, queueKey(durableId, kind, packetId), Uint8Array.of(FORMAT));
  }

  removeIdentifier(durableId: DurableSessionId, kind: QueueRecordKind, packetId: number): void {
    this.#journal.write(Table.Queue, queueKey(durableId, kind, packetId), null);
  }

  /**
   * `expiresAt` is Unix time in milliseconds, 0: never. `before` is the message that it replaces,
   * or 0.
   */
  putRetained(topic: string, message: MessageSlot, before: MessageSlot, expiresAt: number): void {
    this.#retainMessage(message);
    if (before !== 0) this.#releaseMessage(before);
    const value = new Uint8Array(17);
    const view = viewOf(value);
    value[0] = FORMAT;
    view.setFloat64(1, this.#messages.serial(message));
    view.setFloat64(9, expiresAt);
    this.#journal.write(Table.Retained, encodeUtf8(topic), value);
  }

  removeRetained(topic: string, message: MessageSlot): void {
    this.#journal.write(Table.Retained, encodeUtf8(topic), null);
    this.#releaseMessage(message);
  }

  #retainMessage(message: MessageSlot): void {
    this.#references = grownU32(this.#references, message);
    if (this.#references[message]!++ > 0) return;
    const messages = this.#messages;
    const from = messages.bytes(message);
    const topicStart = messages.topicStart(message);
    const topicBytes = messages.topicBytes(message);
    const propertyStart = messages.propertyStart(message);
    const propertyBytes = messages.propertyBytes(message);
    const payloadStart = MESSAGE_HEAD_BYTES + topicBytes + propertyBytes;
    const value = new Uint8Array(payloadStart + messages.payloadBytes(message));
    const view = viewOf(value);
    value[0] = FORMAT;
    value[1] = messages.qos(message) | (messages.isRetained(message) ? 4 : 0);
    const expiresAt = messages.expiresAt(message);
    view.setFloat64(2, expiresAt === NEVER ? 0 : this.epochMillis + expiresAt);
    view.setUint32(10, propertyBytes);
    value.set(from.subarray(topicStart, topicStart + topicBytes), MESSAGE_HEAD_BYTES);
    const properties = from.subarray(propertyStart, propertyStart + propertyBytes);
    value.set(properties, MESSAGE_HEAD_BYTES + topicBytes);
    value.set(messages.payload(message), payloadStart);
    this.#journal.write(Table.Message, messageKey(messages.serial(message)), value);
  }

  #releaseMessage(message: MessageSlot): void {
    if (--this.#references[message]! > 0) return;
    this.#journal.write(Table.Message, messageKey(this.#messages.serial(message)), null);
  }
}

function subscriptionKey(durableId: DurableSessionId, filter: string): Uint8Array {
  const text = encodeUtf8(filter);
  const key = new Uint8Array(4 + text.length);
  viewOf(key).setUint32(0, durableId);
  key.set(text, 4);
  return key;
}

function messageKey(serial: number): Uint8Array {
  const key = new Uint8Array(8);
  viewOf(key).setFloat64(0, serial);
  return key;
}

function queueKey(durableId: DurableSessionId, kind: QueueRecordKind, n: number): Uint8Array {
  const key = new Uint8Array(9);
  const view = viewOf(key);
  view.setUint32(0, durableId);
  key[4] = kind;
  view.setUint32(5, n);
  return key;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Version of the layouts above. */
const FORMAT = 1;
const MESSAGE_HEAD_BYTES = 14;
