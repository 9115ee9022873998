/** The state that outlives a connection: subscriptions, outgoing messages, and QoS 2 receipts. */
import { PacketIdSet } from "../base/packet-id-set.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import type { RetainedScan } from "../message/retained.ts";
import { Outbox } from "./outbox.ts";
import type { SessionContext } from "./session-context.ts";
import type { SessionRecord } from "./session-record.ts";
import type { Subscriptions } from "./subscriptions.ts";

/** Slot of a session, which is also its subscriber number in the topic index; 0: no session. */
export type SessionSlot = number;

/** A message to be published after its client's connection has ended. */
export interface Will {
  readonly message: MessageSlot;
  /** How long to wait after the connection ended. The end of the session ends the delay too. */
  readonly delayMillis: number;
  /** Message expiry, counted from its publication; NEVER: it does not expire. */
  readonly expiryMillis: number;
}

export class Session {
  readonly slot: SessionSlot;
  readonly clientId: string;
  /** How long the session is kept after its connection ends; 0: not at all. */
  expiryMillis: number;
  /** Whether it was created to outlive its connection. `sessionsMax` bounds such sessions. */
  readonly isPersistent: boolean;
  /** The will of a disconnected client, until the will delay has passed. */
  will: Will | null = null;
  /** Null if the session is not recorded. */
  readonly record: SessionRecord | null;
  /** Slot of its connection, or 0 while the client is disconnected. */
  connSlot = 0;
  readonly outbox: Outbox;
  /** Created with the first subscription. */
  subscriptions: Subscriptions | null = null;
  /**
   * Retained messages still to be sent to new subscriptions, by filter. A filter has several scans
   * if the client subscribed again with another Subscription Identifier before the first scan was
   * complete.
   */
  retainedScans: Map<string, RetainedScan[]> | null = null;
  #receipts: PacketIdSet | null = null;
  /** Those of the receipts that have no record although the session has one. Null: none so far. */
  #unrecordedReceipts: PacketIdSet | null = null;

  constructor(
    context: SessionContext,
    slot: SessionSlot,
    { clientId, expiryMillis, record }: Pick<Session, "clientId" | "expiryMillis" | "record">,
  ) {
    this.slot = slot;
    this.clientId = clientId;
    this.expiryMillis = expiryMillis;
    // A recovered session may have been resumed with an expiry of 0 before.
    this.isPersistent = expiryMillis > 0 || record !== null;
    this.record = record;
    this.outbox = new Outbox(context, this);
  }

  /** The number of QoS 2 messages received and not yet released. */
  get receiptCount(): number {
    return this.#receipts === null ? 0 : this.#receipts.size;
  }
  hasReceipt(packetId: number): boolean {
    return this.#receipts?.has(packetId) ?? false;
  }
  /**
   * Records that a QoS 2 message was received under an identifier without a receipt
   * [MQTT311-4.3.3-2]. `isRecorded`: the receipt outlives the process if the session does.
   */
  addReceipt(packetId: number, isRecorded: boolean): void {
    this.#receipts ??= new PacketIdSet();
    this.#receipts.add(packetId);
    if (this.record === null) return;
    if (isRecorded) {
      this.record.putReceipt(packetId);
    } else {
      this.#unrecordedReceipts ??= new PacketIdSet();
      this.#unrecordedReceipts.add(packetId);
    }
  }
  /** Whether an identifier may have a receipt in the store, or had one until the next commit. */
  mayHaveReceiptRecord(packetId: number): boolean {
    return this.record !== null && this.#unrecordedReceipts?.has(packetId) !== true;
  }
  /** Adds a recovered receipt. */
  restoreReceipt(packetId: number): void {
    this.#receipts ??= new PacketIdSet();
    this.#receipts.add(packetId);
  }
  /** Removes the receipt of an identifier, if there is one. */
  removeReceipt(packetId: number): void {
    if (this.#receipts?.delete(packetId) !== true) return;
    if (this.#unrecordedReceipts?.delete(packetId) !== true) this.record?.removeReceipt(packetId);
  }
  clearReceipts(): void {
    if (this.record !== null) {
      for (const packetId of this.#receipts?.values() ?? []) this.removeReceipt(packetId);
    }
    this.#receipts = null;
    this.#unrecordedReceipts = null;
  }
}
