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
import type { Limits } from "../config.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { DELIVERY_QOS } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { DeliveryOrigin, DeliveryQueuePool } from "./delivery-queue.ts";
import { DeliveryQueue } from "./delivery-queue.ts";
import type { SessionRecord } from "./session-record.ts";
import { Window } from "./window.ts";

/** What became of a message that was offered to a session. */
export const Offer = { Ready: 0, Queued: 1, Dropped: 2 } as const;
export type Offer = (typeof Offer)[keyof typeof Offer];

export class Outbox {
  readonly #messages: MessagePool;
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  /** Null where nothing of the session is recorded. */
  readonly #record: SessionRecord | null;
  readonly #queues: DeliveryQueuePool;
  #queued: DeliveryQueue | null = null;
  #queuedBytes = 0;
  /** Number of the oldest entry of `held`, in its record; those after it follow. */
  #queuedFirst = QUEUED_FIRST;
  #ready: DeliveryQueue | null = null;
  #readyBytes = 0;
  /** QoS 1 and 2 entries of `ready`: they have a window place each. */
  #readyWindow = 0;
  /** Sent, and not yet answered to the end. */
  readonly window: Window;
  #windowMax: number;
  #lastPacketId = 0;
  /** Identifiers given since the window was last empty: below 65535 none can be in use again. */
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
  get hasWindow(): boolean {
    return this.windowFree > 0;
  }
  /** How many more QoS 1 and 2 messages may be on their way. */
  get windowFree(): number {
    return Math.max(0, this.#windowMax - this.window.count - this.#readyWindow);
  }

  /**
   * Offers a message to a session whose client is there. Takes a reference unless it is dropped. `origin`:
   * what the receiver is told of the subscriptions it came by.
   * `isBlocked`: its transport takes no bytes now, so that what waits for it is bounded.
   */
  offer(
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
    isBlocked: boolean,
  ): Offer {
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    if ((delivery & DELIVERY_QOS) === 0) {
      if (isBlocked && this.#readyBytes + bytes > this.#limits.outputBytesMax) {
        this.#counters[Counter.droppedSlowReader]!++;
        return Offer.Dropped;
      }
    } else if (this.queuedCount > 0 || !this.hasWindow) {
      return this.enqueue(message, delivery, origin);
    }
    this.#messages.retain(message);
    this.#pushReady(message, delivery, origin, bytes);
    return Offer.Ready;
  }

  /** Keeps a message until the window opens or the client comes back. Newest dropped beyond the limits. */
  enqueue(message: MessageSlot, delivery: number, origin: DeliveryOrigin | null): Offer {
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    if (!this.#hasRoom(bytes)) {
      this.#dropExpired();
      if (!this.#hasRoom(bytes)) {
        this.#counters[Counter.droppedQueueFull]!++;
        return Offer.Dropped;
      }
    }
    this.#messages.retain(message);
    this.#queued ??= new DeliveryQueue();
    this.#recordQueued(this.#queuedFirst + this.#queued.count, message, delivery, origin);
    this.#queued.push(message, delivery, origin, 0);
    this.#queuedBytes += bytes;
    this.#counters[Counter.queued]!++;
    return Offer.Queued;
  }

  /** Moves what the window has room for from `held` to `ready`; true where anything is ready now. */
  refill(): boolean {
    const held = this.#queued;
    this.#dropExpired();
    while (held !== null && held.count > 0) {
      const delivery = held.word();
      const isWindowed = (delivery & DELIVERY_QOS) !== 0;
      if (isWindowed && !this.hasWindow) break;
      const message = held.message();
      const bytes = this.#messages.size(message) + ENTRY_BYTES;
      // Recorded as sent before it is no longer recorded as held: its record of the message stays.
      this.#pushReady(message, delivery, held.origin(), bytes);
      this.#dropQueued(message, delivery);
      this.#dropExpired();
    }
    if (held !== null && held.count === 0 && held.capacity > KEPT_ENTRIES_MAX) this.#queued = null;
    return this.readyCount > 0;
  }

  /** The message at `index` from the one that is to be sent next, which is at 0. */
  readyMessage(index = 0): MessageSlot {
    return this.#ready!.message(index);
  }
  readyDelivery(index = 0): number {
    return this.#ready!.word(index) & DELIVERY_BITS;
  }
  /** What it came by. */
  readyOrigin(index = 0): DeliveryOrigin | null {
    return this.#ready!.origin(index);
  }
  /** Whether any that is ready may wait for a commit. */
  get mayReadyWait(): boolean {
    return this.#ready?.mayWait ?? false;
  }
  /** Whether any that is ready may have come by something. */
  get hasReadyOrigins(): boolean {
    return this.#ready?.hasOrigins ?? false;
  }
  /** The identifier that it is sent under; 0 at QoS 0. */
  readyPacketId(index = 0): number {
    return this.#ready!.word(index) >>> PACKET_ID_SHIFT;
  }
  /** Whether all that has to be durable before it is sent is so, up to `committed`. */
  isReadyDurable(committed: number): boolean {
    const seq = this.#ready!.seq();
    // By the low 32 bits, as a distance, so that they may wrap around.
    return seq === 0 || ((seq - committed) | 0) <= 0;
  }

  /**
   * The ready message has been written: it leaves `ready`. A QoS 1 or 2 message goes to the window with
   * its reference; the reference of a QoS 0 message is released.
   */
  takeReady(): void {
    const ready = this.#ready!;
    const message = ready.message();
    const word = ready.word();
    const packetId = word >>> PACKET_ID_SHIFT;
    if (packetId === 0) {
      this.#leaveReady(message);
      this.#messages.release(message);
      return;
    }
    this.window.push(packetId, message, word & DELIVERY_BITS, ready.origin());
    this.#leaveReady(message);
    this.#readyWindow--;
  }

  /** As `takeReady`, for the next `count` messages, all at QoS 0. */
  takeReadyQos0(count: number): void {
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
    this.#countTaken(bytes);
  }

  /** The ready message is not sent, and is done with as if it had been acknowledged. */
  discardReady(): void {
    const message = this.#ready!.message();
    const packetId = this.readyPacketId();
    this.#leaveReady(message);
    if (packetId !== 0) {
      this.#readyWindow--;
      this.#forgetSent(packetId, message);
      this.refill();
    }
    this.#messages.release(message);
  }

  /** Position in the window of what is to be sent again next, or -1 while there is none. */
  get resendPosition(): number {
    return this.window.resendPosition(this.#windowMax);
  }

  /** What is at `position` in the window is too long for its client now: it is not sent again. */
  discardResend(position: number): void {
    this.window.discard(position);
    this.refill();
  }

  /**
   * The client is there, with a window of its own: every PUBLISH sent and unanswered is to be sent again
   * in its order [MQTT311-4.4.0-1] [MQTT311-4.6.0-1], and then what was held.
   */
  attach(windowMax: number): void {
    this.#windowMax = windowMax;
    this.window.startResend();
    this.refill();
  }

  /** What was ready goes back to the head of `held`; QoS 0 is dropped unless `keepsQos0`. */
  detach(keepsQos0: boolean): void {
    const ready = this.#ready;
    this.#ready = null;
    this.#counters[Counter.outputBytes]! -= this.#readyBytes;
    this.#readyBytes = 0;
    this.#readyWindow = 0;
    // From the newest, so that the oldest is in front in the end.
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
      this.#forgetSent(word >>> PACKET_ID_SHIFT, message);
      this.#queued.unshift(message, delivery, origin);
      this.#queuedBytes += this.#messages.size(message) + ENTRY_BYTES;
      this.#counters[Counter.queued]!++;
    }
    this.window.stopResend();
  }

  /**
   * The messages of shared subscriptions that its receiver has not got, as far as another may get them:
   * not those at QoS 2 that were sent [MQTT-4.8.2-5].
   */
  *unfinishedShared(): Generator<{ readonly message: MessageSlot; readonly group: number }> {
    const { window } = this;
    for (let i = 0; i < window.sentCount; i++) {
      const group = window.sentOrigin(i)?.group ?? 0;
      const isExactlyOnce = (window.resentDelivery(i) & DELIVERY_QOS) === 2;
      if (group !== 0 && !isExactlyOnce) yield { message: window.sentMessage(i), group };
    }
    for (const queue of [this.#ready, this.#queued]) {
      for (let i = 0; i < (queue?.count ?? 0); i++) {
        const group = queue!.origin(i)?.group ?? 0;
        if (group !== 0) yield { message: queue!.message(i), group };
      }
    }
  }

  /** Drops everything: the session ends. */
  clear(): void {
    this.detach(false);
    while (this.queuedCount > 0) this.#discardQueued();
    this.window.clear();
    this.#queued = null;
    this.#queuedBytes = 0;
  }

  /** A QoS 1 or 2 message takes its window place, and the identifier it is sent under. */
  #pushReady(
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
    bytes: number,
  ): void {
    const qos = delivery & DELIVERY_QOS;
    let packetId = 0;
    if (qos !== 0) {
      packetId = this.#newPacketId();
      this.#readyWindow++;
      this.#record?.putSent(packetId, message, delivery, origin);
    }
    // Sent under an identifier that a restart forgets, a QoS 2 message would be taken for another.
    const waitsForId = qos === 2 && this.#record !== null;
    const seq = (waitsForId ? this.#record.lastSeq : this.#messages.waitsFor(message)) >>> 0;
    this.#ready ??= this.#queues.acquire();
    this.#ready.push(message, delivery | (packetId << PACKET_ID_SHIFT), origin, seq);
    this.#readyBytes += bytes;
    this.#counters[Counter.outputBytes]! += bytes;
  }

  #leaveReady(message: MessageSlot): void {
    this.#ready!.drop();
    this.#countTaken(this.#messages.size(message) + ENTRY_BYTES);
  }

  /** So many bytes have left `ready`. */
  #countTaken(bytes: number): void {
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
    // One message may wait for very many sessions: their entries have to fit the memory for messages too.
    const entryBytes = (this.#counters[Counter.queued]! + 1) * ENTRY_BYTES;
    return this.#messages.byteCount + entryBytes <= messageBytesMax;
  }

  /** Drops the oldest of `held` as far as their time is over [MQTT-3.3.2-5]. */
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

  #recordQueued(
    n: number,
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
  ): void {
    if ((delivery & DELIVERY_QOS) === 0) return;
    this.#record?.putQueued(n >>> 0, message, delivery, origin);
  }

  /** Drops the oldest of `held`, whose reference is the caller's then. */
  #dropQueued(message: MessageSlot, delivery: number): void {
    this.#queued!.drop();
    this.#queuedBytes -= this.#messages.size(message) + ENTRY_BYTES;
    this.#counters[Counter.queued]!--;
    const n = this.#queuedFirst++ >>> 0;
    if ((delivery & DELIVERY_QOS) !== 0) this.#record?.removeQueued(n, message);
  }

  #forgetSent(packetId: number, message: MessageSlot): void {
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

/** Bits of a ready entry that are its delivery; the packet identifier is above them. */
const DELIVERY_BITS = 0xffff;
const PACKET_ID_SHIFT = 16;
/** Numbers of held entries go both ways from the middle of a u32, so that they sort in their order. */
const QUEUED_FIRST = 0x8000_0000;
/** What an entry counts for in the limits beside its message. */
const ENTRY_BYTES = 16;
/** A ring that grew beyond this is let go when it has emptied. */
const KEPT_ENTRIES_MAX = 256;
