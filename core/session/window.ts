/**
 * The QoS 1 and 2 messages sent to the client of one session and not yet fully acknowledged.
 *
 * ```
 * sent ──PUBACK, PUBREC with an error──▶ done
 *   └──PUBREC──▶ released ──PUBCOMP──▶ done
 * ```
 *
 * An identifier is in use until its message is done [MQTT311-2.3.1-4] [MQTT-2.2.1-4].
 */
import type { MessageSlot } from "../message/message-pool.ts";
import { isPaged } from "../message/paged-messages.ts";
import { DELIVERY_QOS } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { DeliveryOrigin } from "./delivery-queue.ts";
import { PacketIdQueue } from "./packet-id-queue.ts";
import type { Page } from "./page.ts";
import type { SessionContext } from "./session-context.ts";
import type { SessionRecord } from "./session-record.ts";

export const Acknowledged = {
  Done: 0,
  Unknown: 1,
  WrongKind: 2,
  /** Done, and the rest of the handshake does not wait for a commit. */ DoneWithoutCommit: 3,
} as const;
export type Acknowledged = (typeof Acknowledged)[keyof typeof Acknowledged];

export class Window {
  readonly #context: SessionContext;
  /** Null if the session is not recorded. */
  readonly #record: SessionRecord | null;
  /** Sent, not yet acknowledged (PUBACK) or received (PUBREC). */
  #sent: PacketIdQueue | null = null;
  /**
   * Received by the client, not yet completed: PUBREL is due or sent. In the order of the PUBRECs.
   */
  #released: PacketIdQueue | null = null;

  constructor(context: SessionContext, record: SessionRecord | null) {
    this.#context = context;
    this.#record = record;
  }

  get count(): number {
    return (this.#sent?.count ?? 0) + (this.#released?.count ?? 0);
  }
  get sentCount(): number {
    return this.#sent?.count ?? 0;
  }

  /** Adds a message that has been sent under an identifier. The window takes over its reference. */
  push(
    packetId: number,
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
  ): void {
    this.#sent ??= new PacketIdQueue();
    this.#sent.push(packetId, message, delivery, origin);
    this.#context.counters[Counter.inflight]!++;
  }

  isInUse(packetId: number): boolean {
    return this.#isReleased(packetId) || (this.#sent?.find(packetId) ?? -1) >= 0;
  }

  /** PUBACK. */
  handlePuback(packetId: number): Acknowledged {
    const position = this.#sent?.find(packetId) ?? -1;
    if (position < 0)
      return this.#isReleased(packetId) ? Acknowledged.WrongKind : Acknowledged.Unknown;
    if ((this.#sent!.delivery(position) & DELIVERY_QOS) !== 1) return Acknowledged.WrongKind;
    this.#dropSent(position);
    this.#context.counters[Counter.inflight]!--;
    return Acknowledged.Done;
  }

  /** PUBREC: the client has the message; the identifier stays in use until PUBCOMP. */
  handlePubrec(packetId: number): Acknowledged {
    const position = this.#sent?.find(packetId) ?? -1;
    if (position < 0) return this.#isReleased(packetId) ? Acknowledged.Done : Acknowledged.Unknown;
    if ((this.#sent!.delivery(position) & DELIVERY_QOS) !== 2) return Acknowledged.WrongKind;
    const skipsCommits = this.#context.messages.skipsCommits(this.#sent!.message(position));
    this.#dropSent(position);
    this.#released ??= new PacketIdQueue();
    this.#released.push(packetId, 0, 0, null);
    this.#record?.putReleased(packetId);
    return skipsCommits ? Acknowledged.DoneWithoutCommit : Acknowledged.Done;
  }

  /** Adds a recovered identifier that awaits a PUBCOMP. */
  restoreReleased(packetId: number): void {
    this.#released ??= new PacketIdQueue();
    this.#released.push(packetId, 0, 0, null);
    this.#context.counters[Counter.inflight]!++;
  }

  /** PUBREC with an error code: the message is done. */
  handlePubrecFailure(packetId: number): Acknowledged {
    const position = this.#sent?.find(packetId) ?? -1;
    if (position < 0) return Acknowledged.Unknown;
    if ((this.#sent!.delivery(position) & DELIVERY_QOS) !== 2) return Acknowledged.WrongKind;
    this.#dropSent(position);
    this.#context.counters[Counter.inflight]!--;
    return Acknowledged.Done;
  }

  /** PUBCOMP. */
  handlePubcomp(packetId: number): Acknowledged {
    const position = this.#released?.find(packetId) ?? -1;
    if (position < 0) {
      return (this.#sent?.find(packetId) ?? -1) < 0 ? Acknowledged.Unknown : Acknowledged.WrongKind;
    }
    this.#dropReleased(position);
    this.#context.counters[Counter.inflight]!--;
    return Acknowledged.Done;
  }

  /** Marks every unacknowledged PUBLISH for resending, in order. */
  startResend(): void {
    this.#sent?.startResend();
  }
  stopResend(): void {
    this.#sent?.stopResend();
  }

  /**
   * The number of PUBRELs that await a PUBCOMP; `releasedId` has their identifiers in the order of
   * the PUBRECs.
   */
  get releasedCount(): number {
    return this.#released?.count ?? 0;
  }
  releasedId(position: number): number {
    return this.#released!.packetId(position);
  }

  /**
   * Position in the window of the next PUBLISH to resend, or -1 if there is none or if `windowMax`
   * are in flight: the client's Receive Maximum may be smaller than when they were sent first.
   */
  resendPosition(windowMax: number): number {
    if (this.#sent === null || this.#sent.resendPosition < 0) return -1;
    const isFull = this.#sent.resentCount + this.releasedCount >= windowMax;
    return isFull ? -1 : this.#sent.resendPosition; // [MQTT-3.3.4-9]
  }
  sentMessage(position: number): MessageSlot {
    return this.#sent!.message(position);
  }
  sentOrigin(position: number): DeliveryOrigin | null {
    return this.#sent!.origin(position);
  }
  /** The delivery flags of the first sending, without DUP. */
  sentDelivery(position: number): number {
    return this.#sent!.delivery(position);
  }
  sentPacketId(position: number): number {
    return this.#sent!.packetId(position);
  }
  /** The PUBLISH at `resendPosition` has been sent again. */
  confirmResent(): void {
    this.#sent!.confirmResent();
  }

  /**
   * Pages out the messages that are stored, while their client is not connected. Returns how many.
   */
  pageOut(): number {
    const { references } = this.#context.records!;
    let count = 0;
    for (let position = 0; position < this.sentCount; position++) {
      const message = this.sentMessage(position);
      if (isPaged(message) || !references.isStored(message)) continue;
      this.#sent!.setMessage(position, references.pageOut(message));
      this.#context.messages.release(message);
      count++;
    }
    return count;
  }

  /** Whether a message that awaits PUBACK or PUBREC is in memory. */
  get hasUnpaged(): boolean {
    for (let position = 0; position < this.sentCount; position++) {
      if (!isPaged(this.sentMessage(position))) return true;
    }
    return false;
  }

  /** Fills a page with the next messages to resend. */
  fillPage(page: Page): void {
    const { paged } = this.#context.pager!;
    page.isSent = true;
    const start = Math.max(0, this.#sent?.resendPosition ?? 0);
    for (let position = start; position < this.sentCount; position++) {
      const message = this.sentMessage(position);
      if (!isPaged(message) || paged.isLost(message)) continue;
      const [serial, size] = [paged.serial(message), paged.size(message)];
      if (!page.add(this.sentPacketId(position), message, serial, size)) return;
    }
  }

  /** Whether the message was sent under this identifier. */
  isAt(packetId: number, message: MessageSlot): boolean {
    const position = this.#sent?.find(packetId) ?? -1;
    return position >= 0 && this.sentMessage(position) === message;
  }

  /** A page has arrived: its messages that are in memory get their places. */
  placePage({ numbers, messages, count }: Page): void {
    const { paged } = this.#context.pager!;
    for (let i = 0; i < count; i++) {
      const message = messages[i]!;
      const position = this.#sent?.find(numbers[i]!) ?? -1;
      if (position < 0 || this.sentMessage(position) !== message) continue;
      const resident = paged.resident(message);
      if (resident === 0) continue;
      this.#context.messages.retain(resident);
      this.#context.records!.references.pageIn(message, resident);
      this.#sent!.setMessage(position, resident);
    }
  }

  /** Drops the PUBLISH at `position` as if it had been acknowledged. */
  discard(position: number): void {
    this.#dropSent(position);
    this.#context.counters[Counter.inflight]!--;
  }

  /** Drops everything when the session ends. */
  clear(): void {
    this.#context.counters[Counter.inflight]! -= this.count;
    while (this.#sent !== null && this.#sent.count > 0) this.#dropSent(0);
    while (this.#released !== null && this.#released.count > 0) this.#dropReleased(0);
    this.#sent = null;
    this.#released = null;
  }

  #dropSent(position: number): void {
    const sent = this.#sent!;
    const message = sent.message(position);
    // A paged message loses its reference with its record.
    this.#record?.removeSent(sent.packetId(position), message);
    if (!isPaged(message)) this.#context.messages.release(message);
    sent.removeAt(position);
  }

  #dropReleased(position: number): void {
    const released = this.#released!;
    this.#record?.removeReleased(released.packetId(position));
    released.removeAt(position);
  }

  #isReleased(packetId: number): boolean {
    return this.#released !== null && this.#released.find(packetId) >= 0;
  }
}
