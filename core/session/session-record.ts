/**
 * The records of one session that outlives the process. A session has none if it is not recorded:
 * with the memory store, or if the session ends with its connection.
 */
import type { DurableSessionId } from "../journal/record-keys.ts";
import { QueueRecordKind } from "../journal/record-keys.ts";
import type { Records } from "../journal/records.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import type { DeliveryOrigin } from "./delivery-queue.ts";

export class SessionRecord {
  readonly #records: Records;
  readonly #clientId: string;
  readonly #id: DurableSessionId;

  /** Whether the session itself has a record. */
  #isPut: boolean;

  /** `recoveredId`: the id of a recovered session, which has a record; 0: a new session. */
  constructor(records: Records, clientId: string, recoveredId: DurableSessionId = 0) {
    this.#records = records;
    this.#clientId = clientId;
    this.#id = recoveredId === 0 ? records.newDurableId() : recoveredId;
    this.#isPut = recoveredId !== 0;
  }

  /** The write that makes everything recorded so far durable. */
  get lastSeq(): number {
    return this.#records.lastSeq;
  }

  /** `endsAt` is Unix time in milliseconds; 0 while the client is connected. */
  putSession(endsAt: number, expiryMillis: number): void {
    const isNew = !this.#isPut;
    this.#isPut = true;
    this.#records.putSession(this.#clientId, this.#id, { endsAt, expiryMillis, isNew });
  }
  removeSession(): void {
    this.#records.removeSession(this.#clientId);
  }

  /** `isNew`: the filter has no record. */
  putSubscription(filter: string, options: number, isNew: boolean): void {
    this.#records.putSubscription(this.#id, filter, options, isNew);
  }
  removeSubscription(filter: string): void {
    this.#records.removeSubscription(this.#id, filter);
  }

  /** A message is queued for the window or the client; `n` is its number in the queue. */
  putQueued(
    n: number,
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
  ): void {
    this.#records.putQueued(this.#id, QueueRecordKind.Queued, n, message, delivery, origin);
  }
  /** Gives a queued entry another number. */
  moveQueued(
    from: number,
    to: number,
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
  ): void {
    this.putQueued(to, message, delivery, origin);
    this.removeQueued(from, message);
  }
  removeQueued(n: number, message: MessageSlot): void {
    this.#records.removeQueued(this.#id, QueueRecordKind.Queued, n, message);
  }

  /** A message has a packet identifier: it is sent or about to be sent, and not acknowledged. */
  putSent(
    packetId: number,
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
  ): void {
    this.#records.putQueued(this.#id, QueueRecordKind.Sent, packetId, message, delivery, origin);
  }
  removeSent(packetId: number, message: MessageSlot): void {
    this.#records.removeQueued(this.#id, QueueRecordKind.Sent, packetId, message);
  }

  /** The client has received a QoS 2 message; PUBREL is due until PUBCOMP. */
  putReleased(packetId: number): void {
    this.#records.putIdentifier(this.#id, QueueRecordKind.Released, packetId);
  }
  removeReleased(packetId: number): void {
    this.#records.removeIdentifier(this.#id, QueueRecordKind.Released, packetId);
  }

  /** A QoS 2 message was received, and its identifier is not yet released. */
  putReceipt(packetId: number): void {
    this.#records.putIdentifier(this.#id, QueueRecordKind.Receipt, packetId);
  }
  removeReceipt(packetId: number): void {
    this.#records.removeIdentifier(this.#id, QueueRecordKind.Receipt, packetId);
  }
}
