/** What outlives a connection: subscriptions, what is owed to the client, and its QoS 2 receipts. */
import { PacketIdSet } from "../base/bitset.ts";
import type { Limits } from "../config.ts";
import type { Owner, Records } from "../journal/records.ts";
import { Kind } from "../journal/records.ts";
import type { MessagePool } from "../message/message-pool.ts";
import type { RetainedReplay } from "../message/retained.ts";
import { Outbox } from "./outbox.ts";

/** Slot of a session, which is its subscriber number in the topic index; 0 is none. */
export type SessionSlot = number;

export class Session {
  readonly slot: SessionSlot;
  readonly clientId: string;
  /** Whether it is kept when its connection ends. */
  readonly isPersistent: boolean;
  /** Its number in the journal; 0 where nothing of it is recorded. */
  readonly owner: Owner;
  readonly #records: Records | null;
  /** Slot of its connection, or 0 while the client is away. */
  connSlot = 0;
  readonly outbox: Outbox;
  /** Filter → options, as in the topic index. Made with the first subscription. */
  subscriptions: Map<string, number> | null = null;
  /** Retained messages still to be sent to new subscriptions, one filter at a time. */
  replays: RetainedReplay[] | null = null;
  #receipts: PacketIdSet | null = null;

  constructor(
    slot: SessionSlot,
    clientId: string,
    isPersistent: boolean,
    messages: MessagePool,
    limits: Limits,
    counters: Float64Array,
    records: Records | null,
  ) {
    this.slot = slot;
    this.clientId = clientId;
    this.isPersistent = isPersistent;
    this.#records = records;
    this.owner = records !== null && isPersistent ? records.newOwner() : 0;
    this.outbox = new Outbox(messages, limits, counters, records, this.owner);
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
    if (this.owner !== 0) this.#records!.putIdentifier(this.owner, Kind.Receipt, packetId);
  }
  /** The identifier was released; also where it has no receipt. */
  removeReceipt(packetId: number): void {
    if (this.#receipts?.delete(packetId) !== true) return;
    if (this.owner !== 0) this.#records!.removeIdentifier(this.owner, Kind.Receipt, packetId);
  }
  clearReceipts(): void {
    if (this.owner !== 0) {
      for (const packetId of this.#receipts?.values() ?? []) {
        this.#records!.removeIdentifier(this.owner, Kind.Receipt, packetId);
      }
    }
    this.#receipts = null;
  }
}
