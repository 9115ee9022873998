/**
 * The outgoing messages of one session, from routing to the final acknowledgement.
 *
 * An entry moves forward through three places. `queued`: QoS 1 and 2, until the window has room or
 * the client connects. `ready`: can be sent now; QoS 1 and 2 entries have their place in the
 * window, QoS 0 needs none. `window`: sent, not yet acknowledged. QoS 0 messages overtake those in
 * `queued`, so that a client that is slow to acknowledge still gets them; within each QoS the order
 * of arrival is kept [MQTT311-4.6.0-6].
 *
 * With a durable store, the entries of a session that outlives its connection are recorded. An
 * entry that must not be sent before a journal write is durable carries the number of that write.
 */
import type { Limits } from "../config.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { DELIVERY_QOS } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { DeliveryOrigin, DeliveryQueuePool } from "./delivery-queue.ts";
import { DeliveryQueue } from "./delivery-queue.ts";
import type { SessionRecord } from "./session-record.ts";
import { Window } from "./window.ts";

/** The result of offering a message to a session. */
export const Offer = { Ready: 0, Queued: 1, Dropped: 2 } as const;
export type Offer = (typeof Offer)[keyof typeof Offer];

export class Outbox {
  readonly #messages: MessagePool;
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  /** Null if the session is not recorded. */
  readonly #record: SessionRecord | null;
  readonly #queues: DeliveryQueuePool;
  #queued: DeliveryQueue | null = null;
  #queuedBytes = 0;
  /**
   * The number of the oldest `queued` entry in its record; later entries have consecutive numbers.
   */
  #queuedFirst = QUEUED_FIRST;
  #ready: DeliveryQueue | null = null;
  #readyBytes = 0;
  /** The number of QoS 1 and 2 entries in `ready`; each has a place in the window. */
  #readyWindow = 0;
  /** Sent messages whose acknowledgement is not complete. */
  readonly window: Window;
  #windowMax: number;
  #lastPacketId = 0;
  /**
   * Identifiers assigned since the window was last empty: below 65535, none of them can be in use
   * again.
   */
  #idsSinceEmpty = 0;

  constructor(
    messages: MessagePool,
    limits: Limits,
    counters: Float64Array,
    record: SessionRecord | null,
    queues: DeliveryQueuePool,
  ) {
    this.#queues = queues;
    this.#record = record;
    this.#messages = messages;
    this.#limits = limits;
    this.#counters = counters;
    this.#windowMax = limits.inflightMax;
    this.window = new Window(messages, counters, record);
  }

  get readyCount(): number {
    return this.#ready === null ? 0 : this.#ready.count;
  }
  get readyBytes(): number {
    return this.#readyBytes;
  }
  get queuedCount(): number {
    return this.#queued === null ? 0 : this.#queued.count;
  }
  get hasWindowRoom(): boolean {
    return this.windowFree > 0;
  }
  /** How many more QoS 1 and 2 messages may be in flight. */
  get windowFree(): number {
    return Math.max(0, this.#windowMax - this.window.count - this.#readyWindow);
  }

  /**
   * Offers a message to a session whose client is connected. Takes a reference unless the message
   * is dropped. `origin`: the matching subscriptions, as far as the packet names them. `isBlocked`:
   * the transport takes no bytes now, so the waiting output is bounded.
   */
  offer(message: MessageSlot, delivery: number, origin: Origin, isBlocked: boolean): Offer {
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    if ((delivery & DELIVERY_QOS) === 0) {
      if (isBlocked && this.#readyBytes + bytes > this.#limits.outputBytesMax) {
        this.#counters[Counter.droppedSlowReader]!++;
        return Offer.Dropped;
      }
    } else if (this.queuedCount > 0 || !this.hasWindowRoom) {
      return this.enqueue(message, delivery, origin);
    }
    this.#messages.retain(message);
    this.#pushReady(message, delivery, origin, bytes);
    return Offer.Ready;
  }

  /**
   * Queues a message until the window has room or the client connects. Drops the newest beyond the
   * limits.
   */
  enqueue(message: MessageSlot, delivery: number, origin: Origin): Offer {
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    if (!this.#hasRoom(bytes)) {
      this.#dropExpired();
      if (!this.#hasRoom(bytes)) {
        this.#counters[Counter.droppedQueueFull]!++;
        return Offer.Dropped;
      }
    }
    this.#recordQueued(this.#queuedFirst + this.queuedCount, message, delivery, origin);
    this.#appendQueued(message, delivery, origin);
    return Offer.Queued;
  }

  #appendQueued(message: MessageSlot, delivery: number, origin: Origin): void {
    this.#messages.retain(message);
    this.#queued ??= new DeliveryQueue();
    this.#queued.push(message, delivery, origin, 0);
    this.#queuedBytes += this.#messages.size(message) + ENTRY_BYTES;
    this.#counters[Counter.queued]!++;
  }

  /**
   * Moves entries from `queued` to `ready` while the window has room; true if any entry is ready.
   */
  refill(): boolean {
    const queued = this.#queued;
    this.#dropExpired();
    while (queued !== null && queued.count > 0) {
      const delivery = queued.word();
      const needsWindow = (delivery & DELIVERY_QOS) !== 0;
      if (needsWindow && !this.hasWindowRoom) break;
      const message = queued.message();
      const bytes = this.#messages.size(message) + ENTRY_BYTES;
      // Recorded as sent before its queued record is removed, so that the record of the message
      // stays.
      this.#pushReady(message, delivery, queued.origin(), bytes);
      this.#dropQueued(message, delivery);
      this.#dropExpired();
    }
    if (queued !== null && queued.count === 0 && queued.capacity > KEPT_ENTRIES_MAX)
      this.#queued = null;
    return this.readyCount > 0;
  }

  /** The message at `index` in sending order; the next one to be sent is at 0. */
  readyMessage(index = 0): MessageSlot {
    return this.#ready!.message(index);
  }
  readyDelivery(index = 0): number {
    return this.#ready!.word(index) & DELIVERY_BITS;
  }
  /** Its origin. */
  readyOrigin(index = 0): DeliveryOrigin | null {
    return this.#ready!.origin(index);
  }
  /** Whether a ready entry may have to wait for a commit. */
  get mayReadyAwaitCommit(): boolean {
    return this.#ready?.mayAwaitCommit ?? false;
  }
  /** Whether a ready entry may have an origin. */
  get hasReadyOrigins(): boolean {
    return this.#ready?.hasOrigins ?? false;
  }
  /** Its packet identifier; 0 at QoS 0. */
  readyPacketId(index = 0): number {
    return this.#ready!.word(index) >>> PACKET_ID_SHIFT;
  }
  /**
   * Whether the write that the next entry waits for is durable, with writes durable up to
   * `committed`.
   */
  isReadyDurable(committed: number): boolean {
    const seq = this.#ready!.seq();
    // Compares the low 32 bits by their distance, because they may wrap around.
    return seq === 0 || ((seq - committed) | 0) <= 0;
  }

  /**
   * The next ready message has been written: removes it from `ready`. A QoS 1 or 2 message moves to
   * the window with its reference; the reference of a QoS 0 message is released.
   */
  confirmReadySent(): void {
    const ready = this.#ready!;
    const message = ready.message();
    const word = ready.word();
    const packetId = word >>> PACKET_ID_SHIFT;
    if (packetId === 0) {
      this.#dropReady(message);
      this.#messages.release(message);
      return;
    }
    this.window.push(packetId, message, word & DELIVERY_BITS, ready.origin());
    this.#dropReady(message);
    this.#readyWindow--;
  }

  /** Like `confirmReadySent`, for the next `count` messages, all at QoS 0. */
  confirmQos0Sent(count: number): void {
    if (count === 0) return;
    const messages = this.#messages;
    const ready = this.#ready!;
    let bytes = count * ENTRY_BYTES;
    for (let i = 0; i < count; i++) {
      const message = ready.message(i);
      bytes += messages.size(message);
      messages.release(message);
    }
    ready.drop(count);
    this.#deductReadyBytes(bytes);
  }

  /** Drops the next ready message as if it had been acknowledged. */
  discardReady(): void {
    const message = this.#ready!.message();
    const packetId = this.readyPacketId();
    this.#dropReady(message);
    if (packetId !== 0) {
      this.#readyWindow--;
      this.#removeSentRecord(packetId, message);
      this.refill();
    }
    this.#messages.release(message);
  }

  /** Position in the window of the next message to resend, or -1 if there is none. */
  get resendPosition(): number {
    return this.window.resendPosition(this.#windowMax);
  }

  /**
   * The message at `position` in the window exceeds the client's Maximum Packet Size now: it is not
   * resent.
   */
  discardResend(position: number): void {
    this.window.discard(position);
    this.refill();
  }

  /**
   * The client is connected, with a window size of its own: every unacknowledged PUBLISH is resent
   * in order [MQTT311-4.4.0-1] [MQTT311-4.6.0-1], followed by the queued messages.
   */
  attach(windowMax: number): void {
    this.#windowMax = windowMax;
    this.window.startResend();
    this.refill();
  }

  /** Moves ready entries back to the head of `queued`; drops those at QoS 0 unless `keepsQos0`. */
  detach(keepsQos0: boolean): void {
    const ready = this.#ready;
    this.#ready = null;
    this.#counters[Counter.outputBytes]! -= this.#readyBytes;
    this.#readyBytes = 0;
    this.#readyWindow = 0;
    // Newest first, so that the oldest ends up in front.
    for (let i = (ready?.count ?? 0) - 1; i >= 0; i--) {
      const message = ready!.message(i);
      const word = ready!.word(i);
      if ((word & DELIVERY_QOS) === 0 && !keepsQos0) {
        this.#messages.release(message);
        continue;
      }
      const delivery = word & DELIVERY_BITS;
      const origin = ready!.origin(i);
      this.#queued ??= new DeliveryQueue();
      this.#recordQueued(--this.#queuedFirst, message, delivery, origin);
      this.#removeSentRecord(word >>> PACKET_ID_SHIFT, message);
      this.#queued.unshift(message, delivery, origin);
      this.#queuedBytes += this.#messages.size(message) + ENTRY_BYTES;
      this.#counters[Counter.queued]!++;
    }
    this.window.stopResend();
  }

  /**
   * The undelivered messages of shared subscriptions that another subscriber may get: not those
   * that were sent at QoS 2 [MQTT-4.8.2-5].
   */
  *unfinishedShared(): Generator<{ readonly message: MessageSlot; readonly group: number }> {
    const { window } = this;
    for (let i = 0; i < window.sentCount; i++) {
      const group = window.sentOrigin(i)?.group ?? 0;
      const isExactlyOnce = (window.sentDelivery(i) & DELIVERY_QOS) === 2;
      if (group !== 0 && !isExactlyOnce) yield { message: window.sentMessage(i), group };
    }
    for (const queue of [this.#ready, this.#queued]) {
      for (let i = 0; i < (queue?.count ?? 0); i++) {
        const group = queue!.origin(i)?.group ?? 0;
        if (group !== 0) yield { message: queue!.message(i), group };
      }
    }
  }

  /**
   * Appends a recovered entry to `queued`. `n` is its number in its record, and one more than that of
   * the entry before it.
   */
  restoreQueued(n: number, message: MessageSlot, delivery: number, origin: Origin): void {
    if (this.queuedCount === 0) this.#queuedFirst = n;
    this.#appendQueued(message, delivery, origin);
  }

  /** The next identifiers follow a recovered one, and each is checked for use. */
  continueIdsAfter(packetId: number): void {
    this.#lastPacketId = packetId;
    this.#idsSinceEmpty = 65_535;
  }

  /** Drops everything when the session ends. */
  clear(): void {
    this.detach(false);
    while (this.queuedCount > 0) this.#discardQueued();
    this.window.clear();
    this.#queued = null;
    this.#queuedBytes = 0;
  }

  /** A QoS 1 or 2 message gets its place in the window and its packet identifier. */
  #pushReady(message: MessageSlot, delivery: number, origin: Origin, bytes: number): void {
    let word = delivery;
    let seq = this.#messages.awaitedSeq(message);
    if ((delivery & DELIVERY_QOS) !== 0) {
      const packetId = this.#newPacketId();
      word |= packetId << PACKET_ID_SHIFT;
      this.#readyWindow++;
      if (this.#record !== null) {
        this.#record.putSent(packetId, message, delivery, origin);
        // A QoS 2 message waits for the record of its identifier: resent under another one after a
        // restart, it would count as a second message.
        const waits = (delivery & DELIVERY_QOS) === 2 && !this.#messages.skipsCommits(message);
        if (waits) seq = this.#record.lastSeq >>> 0;
      }
    }
    this.#ready ??= this.#queues.acquire();
    this.#ready.push(message, word, origin, seq);
    this.#readyBytes += bytes;
    this.#counters[Counter.outputBytes]! += bytes;
  }

  #dropReady(message: MessageSlot): void {
    this.#ready!.drop();
    this.#deductReadyBytes(this.#messages.size(message) + ENTRY_BYTES);
  }

  /** Deducts the bytes of entries that were removed from `ready`. */
  #deductReadyBytes(bytes: number): void {
    this.#readyBytes -= bytes;
    this.#counters[Counter.outputBytes]! -= bytes;
    const ready = this.#ready!;
    if (ready.count > 0) return;
    this.#queues.release(ready);
    this.#ready = null;
  }

  #hasRoom(bytes: number): boolean {
    const { queuedMessagesMax, queuedBytesMax, messageBytesMax } = this.#limits;
    if (this.queuedCount >= queuedMessagesMax) return false;
    if (this.#queuedBytes + bytes > queuedBytesMax) return false;
    // One message may be queued for very many sessions, so the entries count towards the memory for
    // messages too.
    const entryBytes = (this.#counters[Counter.queued]! + 1) * ENTRY_BYTES;
    return this.#messages.byteCount + entryBytes <= messageBytesMax;
  }

  /** Drops the oldest queued entries while they are expired [MQTT-3.3.2-5]. */
  #dropExpired(): void {
    while (this.queuedCount > 0 && this.#messages.isExpired(this.#queued!.message())) {
      this.#counters[Counter.droppedExpired]!++;
      this.#discardQueued();
    }
  }

  #discardQueued(): void {
    const message = this.#queued!.message();
    this.#dropQueued(message, this.#queued!.word());
    this.#messages.release(message);
  }

  #newPacketId(): number {
    let id = this.#lastPacketId;
    if (this.window.count === 0 && this.#readyWindow === 0) this.#idsSinceEmpty = 0;
    do {
      id = id === 65_535 ? 1 : id + 1;
    } while (this.#idsSinceEmpty >= 65_535 && this.#isInUse(id)); // [MQTT311-2.3.1-4]
    this.#lastPacketId = id;
    this.#idsSinceEmpty++;
    return id;
  }

  #recordQueued(n: number, message: MessageSlot, delivery: number, origin: Origin): void {
    if ((delivery & DELIVERY_QOS) === 0) return;
    this.#record?.putQueued(n >>> 0, message, delivery, origin);
  }

  /** Removes the oldest queued entry; the caller takes over its reference. */
  #dropQueued(message: MessageSlot, delivery: number): void {
    this.#queued!.drop();
    this.#queuedBytes -= this.#messages.size(message) + ENTRY_BYTES;
    this.#counters[Counter.queued]!--;
    const n = this.#queuedFirst++ >>> 0;
    if ((delivery & DELIVERY_QOS) !== 0) this.#record?.removeQueued(n, message);
  }

  #removeSentRecord(packetId: number, message: MessageSlot): void {
    if (packetId !== 0) this.#record?.removeSent(packetId, message);
  }

  #isInUse(packetId: number): boolean {
    if (this.window.isInUse(packetId)) return true;
    for (let i = 0; i < this.readyCount; i++) {
      if (this.#ready!.word(i) >>> PACKET_ID_SHIFT === packetId) return true;
    }
    return false;
  }
}

type Origin = DeliveryOrigin | null;
/** The bits of a ready entry for its delivery flags; the packet identifier is above them. */
const DELIVERY_BITS = 0xffff;
const PACKET_ID_SHIFT = 16;
/**
 * Numbers of queued entries grow in both directions from the middle of a u32, so that they sort in
 * order.
 */
const QUEUED_FIRST = 0x8000_0000;
/** The bytes that an entry counts in the limits, in addition to its message. */
const ENTRY_BYTES = 16;
/** A queue that grew beyond this is dropped when it is empty. */
const KEPT_ENTRIES_MAX = 256;
