/** What outlives a connection: subscriptions, what is owed to the client, and its QoS 2 receipts. */
import { PacketIdSet } from "../base/bitset.ts";
import type { Limits } from "../config.ts";
import type { Records } from "../journal/records.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import type { RetainedScan } from "../message/retained.ts";
import type { DeliveryQueuePool } from "./delivery-queue.ts";
import { Outbox } from "./outbox.ts";
import { SessionRecord } from "./session-record.ts";

/** Slot of a session, which is its subscriber number in the topic index; 0 is none. */
export type SessionSlot = number;

/** A message to be published when its client is gone. */
export interface Will {
  readonly message: MessageSlot;
  /** How long after the connection ended, if the session lasts that long. */
  readonly delayMillis: number;
  /** How long it is delivered once it is published; NEVER: for ever. */
  readonly expiryMillis: number;
}

export class Session {
  readonly slot: SessionSlot;
  readonly clientId: string;
  /** How long it is kept when its connection ends; 0: not at all. */
  expiryMillis: number;
  /** Whether it began as one that outlives its connection: those have a limit of their own. */
  readonly isKept: boolean;
  /** The will of a client that is away, until its delay is over. */
  will: Will | null = null;
  /** Null where nothing of it is recorded. */
  readonly record: SessionRecord | null;
  /** Slot of its connection, or 0 while the client is away. */
  connSlot = 0;
  readonly outbox: Outbox;
  /** Filter → options, as in the topic index. Made with the first subscription. */
  subscriptions: Map<string, number> | null = null;
  /**
   * Retained messages still to be sent to new subscriptions, by filter, one filter at a time. A filter has several
   * where it was subscribed to again, under another Subscription Identifier, before the first was sent.
   */
  retainedScans: Map<string, RetainedScan[]> | null = null;
  #receipts: PacketIdSet | null = null;

  constructor(
    slot: SessionSlot,
    clientId: string,
    expiryMillis: number,
    messages: MessagePool,
    limits: Limits,
    counters: Float64Array,
    records: Records | null,
    queues: DeliveryQueuePool,
  ) {
    this.slot = slot;
    this.clientId = clientId;
    this.expiryMillis = expiryMillis;
    this.isKept = expiryMillis > 0;
    this.record = records !== null && this.isKept ? new SessionRecord(records, clientId) : null;
    this.outbox = new Outbox(messages, limits, counters, this.record, queues);
  }

  /** How many QoS 2 messages were received and not yet released. */
  get receiptCount(): number {
    return this.#receipts === null ? 0 : this.#receipts.size;
  }
  hasReceipt(packetId: number): boolean {
    return this.#receipts?.has(packetId) ?? false;
  }
  /** A QoS 2 message was received under an identifier that has no receipt [MQTT311-4.3.3-2]. */
  addReceipt(packetId: number): void {
    this.#receipts ??= new PacketIdSet();
    this.#receipts.add(packetId);
    this.record?.putReceipt(packetId);
  }
  /** The identifier was released; also where it has no receipt. */
  removeReceipt(packetId: number): void {
    if (this.#receipts?.delete(packetId) !== true) return;
    this.record?.removeReceipt(packetId);
  }
  clearReceipts(): void {
    if (this.record !== null) {
      for (const packetId of this.#receipts?.values() ?? []) this.record.removeReceipt(packetId);
    }
    this.#receipts = null;
  }
}
