/** What all sessions of a broker share. */
import type { Limits } from "../config.ts";
import type { Records } from "../journal/records.ts";
import type { MessagePool } from "../message/message-pool.ts";
import type { DeliveryQueuePool } from "./delivery-queue.ts";
import type { Pager } from "./pager.ts";
import type { SessionRecord } from "./session-record.ts";

/** The parts of a broker that all its sessions use. */
export interface SessionContext {
  readonly messages: MessagePool;
  readonly limits: Limits;
  readonly counters: Float64Array;
  /** Null with the memory store. */
  readonly records: Records | null;
  readonly queues: DeliveryQueuePool;
  /** Null: all queued messages stay in memory. */
  readonly pager: Pager | null;
}

/** The session of an outbox. */
export interface OutboxOwner {
  readonly clientId: string;
  /** Slot of its connection, or 0 while the client is disconnected. */
  readonly connSlot: number;
  /** Null if the session is not recorded. */
  readonly record: SessionRecord | null;
}
