/**
 * What is owed to one session, from routing to the last acknowledgement.
 *
 * Three places, and an entry moves only forward: `held` waits for the window or for the client to be
 * there (QoS 1 and 2); `ready` can be sent now, its window place taken (and QoS 0); `window` has been sent
 * and awaits its acknowledgement. A QoS 0 message passes those that wait for the window, so that a
 * client slow to acknowledge still gets it; per QoS the order of arrival is kept [MQTT311-4.6.0-6].
 *
 * With a durable store, what is owed to a session that outlives its connection is recorded, and what may
 * not be sent before something is durable carries the number of the write it waits for.
 */
import { PairRing, Ring } from "../base/ring.ts";
import type { Limits } from "../config.ts";
import type { Owner, Records } from "../journal/records.ts";
import { Kind } from "../journal/records.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { DELIVERY_DUP, DELIVERY_QOS } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import { PacketIdQueue } from "./packet-id-queue.ts";

/** What became of a message that was offered to a session. */
export const Offer = { Ready: 0, Held: 1, Dropped: 2 } as const;
export type Offer = (typeof Offer)[keyof typeof Offer];

export const Acknowledged = { Done: 0, Unknown: 1, WrongKind: 2 } as const;
export type Acknowledged = (typeof Acknowledged)[keyof typeof Acknowledged];

export class Outbox {
  readonly #messages: MessagePool;
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  /** Null with the memory store. */
  readonly #records: Records | null;
  /** 0: the session ends with its connection, nothing of it is recorded. */
  readonly #owner: Owner;
  #held: PairRing | null = null;
  #heldBytes = 0;
  /** Number of the oldest entry of `held`, in its record; those after it follow. */
  #heldFirst = HELD_FIRST;
  /** (message, delivery | packet identifier << 16) */
  #ready: PairRing | null = null;
  /** The write that each entry of `ready` waits for, its low 32 bits, 0 for none; null: none waits. */
  #readySeqs: Ring | null = null;
  #readyBytes = 0;
  /** QoS 1 and 2 entries of `ready`: they have a window place each. */
  #readyWindow = 0;
  /** Sent, not yet acknowledged (PUBACK) or received (PUBREC). */
  #sent: PacketIdQueue | null = null;
  /** Received, not yet completed: PUBREL is owed or sent. In the order of the PUBRECs. */
  #released: PacketIdQueue | null = null;
  #windowMax: number;
  #lastPacketId = 0;
  /** Identifiers given since the window was last empty: below 65535 none can be in use again. */
  #idsSinceEmpty = 0;

  constructor(
    messages: MessagePool,
    limits: Limits,
    counters: Float64Array,
    records: Records | null,
    owner: Owner,
  ) {
    this.#records = records;
    this.#owner = owner;
    this.#messages = messages;
    this.#limits = limits;
    this.#counters = counters;
    this.#windowMax = limits.inflightMax;
  }

  get readyCount(): number {
    return this.#ready === null ? 0 : this.#ready.count;
  }
  get readyBytes(): number {
    return this.#readyBytes;
  }
  get heldCount(): number {
    return this.#held === null ? 0 : this.#held.count;
  }
  /** Sent and not yet acknowledged. */
  get windowCount(): number {
    return (this.#sent?.count ?? 0) + (this.#released?.count ?? 0);
  }
  get hasWindow(): boolean {
    return this.windowCount + this.#readyWindow < this.#windowMax;
  }

  /**
   * Offers a message to a session whose client is there. Takes a reference unless it is dropped.
   * `isBlocked`: its transport takes no bytes now, so that what waits for it is bounded.
   */
  offer(message: MessageSlot, delivery: number, isBlocked: boolean): Offer {
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    if ((delivery & DELIVERY_QOS) === 0) {
      if (isBlocked && this.#readyBytes + bytes > this.#limits.outputBytesMax) {
        this.#counters[Counter.droppedSlowReader]!++;
        return Offer.Dropped;
      }
    } else if (this.heldCount > 0 || !this.hasWindow) {
      return this.hold(message, delivery);
    }
    this.#messages.retain(message);
    this.#pushReady(message, delivery, bytes);
    return Offer.Ready;
  }

  /** Keeps a message until the window opens or the client comes back. Newest dropped beyond the limits. */
  hold(message: MessageSlot, delivery: number): Offer {
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    if (
      this.heldCount >= this.#limits.queuedMessagesMax ||
      this.#heldBytes + bytes > this.#limits.queuedBytesMax
    ) {
      this.#counters[Counter.droppedQueueFull]!++;
      return Offer.Dropped;
    }
    this.#messages.retain(message);
    this.#held ??= new PairRing();
    this.#recordHeld(this.#heldFirst + this.#held.count, message, delivery);
    this.#held.push(message, delivery);
    this.#heldBytes += bytes;
    this.#counters[Counter.queued]!++;
    return Offer.Held;
  }

  /** Moves what the window has room for from `held` to `ready`; true where anything is ready now. */
  refill(): boolean {
    const held = this.#held;
    while (held !== null && held.count > 0) {
      const delivery = held.second();
      const isWindowed = (delivery & DELIVERY_QOS) !== 0;
      if (isWindowed && !this.hasWindow) break;
      const message = held.first();
      const bytes = this.#messages.size(message) + ENTRY_BYTES;
      // Recorded as sent before it is no longer recorded as held: its record of the message stays.
      this.#pushReady(message, delivery, bytes);
      this.#dropHeld(message, delivery);
      this.#heldBytes -= bytes;
    }
    if (held !== null && held.count === 0 && held.capacity > KEPT_ENTRIES_MAX) this.#held = null;
    return this.readyCount > 0;
  }

  /** The message that is to be sent next; only while `readyCount` is above 0. */
  readyMessage(): MessageSlot {
    return this.#ready!.first();
  }
  readyDelivery(): number {
    return this.#ready!.second() & DELIVERY_BITS;
  }
  /** The same of the one at `index` after it. */
  readyMessageAt(index: number): MessageSlot {
    return this.#ready!.firstAt(index);
  }
  readyDeliveryAt(index: number): number {
    return this.#ready!.secondAt(index) & DELIVERY_BITS;
  }
  /** Whether any message that is ready may wait for a commit. */
  get mayWait(): boolean {
    return this.#readySeqs !== null;
  }
  /** The identifier that it is sent under; 0 at QoS 0. */
  readyPacketId(): number {
    return this.#ready!.second() >>> PACKET_ID_SHIFT;
  }
  /** Whether all that has to be durable before it is sent is so, up to `committed`. */
  isReadyDurable(committed: number): boolean {
    if (this.#readySeqs === null) return true;
    const seq = this.#readySeqs.peek();
    // By the low 32 bits, as a distance, so that they may wrap around.
    return seq === 0 || ((seq - committed) | 0) <= 0;
  }

  /**
   * The ready message has been written: it leaves `ready`. A QoS 1 or 2 message goes to the window with
   * its reference; the reference of a QoS 0 message is released.
   */
  takeReady(): void {
    const ready = this.#ready!;
    const message = ready.first();
    const delivery = ready.second() & DELIVERY_BITS;
    const packetId = ready.second() >>> PACKET_ID_SHIFT;
    ready.drop();
    if (this.#readySeqs !== null) this.#readySeqs.shift();
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    this.#readyBytes -= bytes;
    this.#counters[Counter.outputBytes]! -= bytes;
    if (ready.count === 0 && ready.capacity > KEPT_ENTRIES_MAX) this.#ready = null;
    if (packetId === 0) {
      this.#messages.release(message);
      return;
    }
    this.#readyWindow--;
    this.#sent ??= new PacketIdQueue();
    this.#sent.push(packetId, message, delivery);
    this.#counters[Counter.inflight]!++;
  }

  /** PUBACK. */
  acknowledge(packetId: number): Acknowledged {
    const position = this.#sent?.find(packetId) ?? -1;
    if (position < 0)
      return this.#isReleased(packetId) ? Acknowledged.WrongKind : Acknowledged.Unknown;
    if ((this.#sent!.delivery(position) & DELIVERY_QOS) !== 1) return Acknowledged.WrongKind;
    this.#leaveSent(position);
    this.#counters[Counter.inflight]!--;
    this.#noteEmpty();
    return Acknowledged.Done;
  }

  /** PUBREC: the message is the receiver's now, its identifier stays taken until PUBCOMP. */
  receive(packetId: number): Acknowledged {
    const position = this.#sent?.find(packetId) ?? -1;
    if (position < 0) return this.#isReleased(packetId) ? Acknowledged.Done : Acknowledged.Unknown;
    if ((this.#sent!.delivery(position) & DELIVERY_QOS) !== 2) return Acknowledged.WrongKind;
    this.#leaveSent(position);
    this.#released ??= new PacketIdQueue();
    this.#released.push(packetId, 0, 0);
    if (this.#isRecorded) this.#records!.putIdentifier(this.#owner, Kind.Released, packetId);
    return Acknowledged.Done;
  }

  /** PUBCOMP. */
  complete(packetId: number): Acknowledged {
    const position = this.#released?.find(packetId) ?? -1;
    if (position < 0) {
      return (this.#sent?.find(packetId) ?? -1) < 0 ? Acknowledged.Unknown : Acknowledged.WrongKind;
    }
    this.#leaveReleased(position);
    this.#counters[Counter.inflight]!--;
    this.#noteEmpty();
    return Acknowledged.Done;
  }

  /**
   * The client is there, with a window of its own: every PUBLISH sent and unanswered is to be sent again
   * in its order [MQTT311-4.4.0-1] [MQTT311-4.6.0-1], and then what was held.
   */
  attach(windowMax: number): void {
    this.#windowMax = windowMax;
    this.#sent?.startResend();
    this.refill();
  }

  /** What was ready goes back to the head of `held`; QoS 0 is dropped unless `keepsQos0`. */
  detach(keepsQos0: boolean): void {
    const back: number[] = [];
    while (this.#ready !== null && this.#ready.count > 0) {
      const message = this.#ready.first();
      const entry = this.#ready.second();
      this.#ready.drop();
      if ((entry & DELIVERY_QOS) !== 0 || keepsQos0) back.push(message, entry);
      else this.#messages.release(message);
    }
    this.#ready = null;
    this.#readySeqs = null;
    this.#counters[Counter.outputBytes]! -= this.#readyBytes;
    this.#readyBytes = 0;
    this.#readyWindow = 0;
    if (back.length > 0) this.#held ??= new PairRing();
    while (back.length > 0) {
      const entry = back.pop()!;
      const message = back.pop()!;
      const delivery = entry & DELIVERY_BITS;
      this.#recordHeld(--this.#heldFirst, message, delivery);
      this.#forgetSent(entry >>> PACKET_ID_SHIFT, message);
      this.#held!.unshift(message, delivery);
      this.#heldBytes += this.#messages.size(message) + ENTRY_BYTES;
      this.#counters[Counter.queued]!++;
    }
    this.#sent?.stopResend();
  }

  /** How many PUBRELs are owed an answer, and the identifier of each, in the order of the PUBRECs. */
  get releasedCount(): number {
    return this.#released?.count ?? 0;
  }
  releasedId(position: number): number {
    return this.#released!.packetId(position);
  }

  /** Position in the window of the next PUBLISH to send again, or -1. */
  get resendPosition(): number {
    return this.#sent === null ? -1 : this.#sent.resendPosition;
  }
  sentMessage(position: number): MessageSlot {
    return this.#sent!.message(position);
  }
  /** With DUP, for it is sent again [MQTT311-3.3.1-1]. */
  resentDelivery(position: number): number {
    return this.#sent!.delivery(position) | DELIVERY_DUP;
  }
  sentPacketId(position: number): number {
    return this.#sent!.packetId(position);
  }
  /** The PUBLISH at `resendPosition` has been sent again. */
  resent(): void {
    this.#sent!.resent();
  }

  /** Drops everything: the session ends. */
  clear(): void {
    this.detach(false);
    while (this.#held !== null && this.#held.count > 0) {
      const message = this.#held.first();
      this.#dropHeld(message, this.#held.second());
      this.#messages.release(message);
    }
    this.#counters[Counter.inflight]! -= this.windowCount;
    while (this.#sent !== null && this.#sent.count > 0) this.#leaveSent(0);
    while (this.#released !== null && this.#released.count > 0) this.#leaveReleased(0);
    this.#held = null;
    this.#heldBytes = 0;
    this.#sent = null;
    this.#released = null;
  }

  /** A QoS 1 or 2 message takes its window place, and the identifier it is sent under. */
  #pushReady(message: MessageSlot, delivery: number, bytes: number): void {
    const qos = delivery & DELIVERY_QOS;
    let packetId = 0;
    if (qos !== 0) {
      packetId = this.#newPacketId();
      this.#readyWindow++;
      if (this.#isRecorded) {
        this.#records!.putQueued(this.#owner, Kind.Sent, packetId, message, delivery);
      }
    }
    this.#ready ??= new PairRing();
    this.#ready.push(message, delivery | (packetId << PACKET_ID_SHIFT));
    if (this.#records !== null) {
      // Sent under an identifier that a restart forgets, a QoS 2 message would be taken for another.
      const waitsForId = qos === 2 && this.#isRecorded;
      this.#readySeqs ??= new Ring();
      this.#readySeqs.push(
        (waitsForId ? this.#records.lastSeq : this.#messages.waitsFor(message)) >>> 0,
      );
    }
    this.#readyBytes += bytes;
    this.#counters[Counter.outputBytes]! += bytes;
  }

  #newPacketId(): number {
    let id = this.#lastPacketId;
    do {
      id = id === 65_535 ? 1 : id + 1;
    } while (this.#idsSinceEmpty >= 65_535 && this.#isInUse(id)); // [MQTT311-2.3.1-4]
    this.#lastPacketId = id;
    this.#idsSinceEmpty++;
    return id;
  }

  #leaveSent(position: number): void {
    const sent = this.#sent!;
    const message = sent.message(position);
    this.#forgetSent(sent.packetId(position), message);
    this.#messages.release(message);
    sent.removeAt(position);
  }

  #leaveReleased(position: number): void {
    const released = this.#released!;
    if (this.#isRecorded) {
      this.#records!.removeIdentifier(this.#owner, Kind.Released, released.packetId(position));
    }
    released.removeAt(position);
  }

  get #isRecorded(): boolean {
    return this.#owner !== 0;
  }

  #recordHeld(n: number, message: MessageSlot, delivery: number): void {
    if (this.#isRecorded && (delivery & DELIVERY_QOS) !== 0) {
      this.#records!.putQueued(this.#owner, Kind.Held, n >>> 0, message, delivery);
    }
  }

  /** Drops the oldest of `held`, whose reference is the caller's then. */
  #dropHeld(message: MessageSlot, delivery: number): void {
    this.#held!.drop();
    this.#counters[Counter.queued]!--;
    const n = this.#heldFirst++ >>> 0;
    if (this.#isRecorded && (delivery & DELIVERY_QOS) !== 0) {
      this.#records!.removeQueued(this.#owner, Kind.Held, n, message);
    }
  }

  #forgetSent(packetId: number, message: MessageSlot): void {
    if (this.#isRecorded && packetId !== 0) {
      this.#records!.removeQueued(this.#owner, Kind.Sent, packetId, message);
    }
  }

  #isReleased(packetId: number): boolean {
    return this.#released !== null && this.#released.find(packetId) >= 0;
  }

  #isInUse(packetId: number): boolean {
    if (this.#isReleased(packetId) || (this.#sent?.find(packetId) ?? -1) >= 0) return true;
    for (let i = 0; i < this.readyCount; i++) {
      if (this.#ready!.secondAt(i) >>> PACKET_ID_SHIFT === packetId) return true;
    }
    return false;
  }

  #noteEmpty(): void {
    if (this.windowCount === 0 && this.#readyWindow === 0) this.#idsSinceEmpty = 0;
  }
}

/** Bits of a ready entry that are its delivery; the packet identifier is above them. */
const DELIVERY_BITS = 0xffff;
const PACKET_ID_SHIFT = 16;
/** Numbers of held entries go both ways from the middle of a u32, so that they sort in their order. */
const HELD_FIRST = 0x8000_0000;
/** What an entry counts for in the limits beside its message. */
const ENTRY_BYTES = 16;
/** A ring that grew beyond this is let go when it has emptied. */
const KEPT_ENTRIES_MAX = 256;
