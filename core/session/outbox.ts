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
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { isPaged } from "../message/paged-messages.ts";
import { DELIVERY_QOS } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { DeliveryOrigin, DeliveryQueue } from "./delivery-queue.ts";
import { ENTRY_BYTES } from "./delivery-queue.ts";
import type { PagedOutbox } from "./page.ts";
import { Page } from "./page.ts";
import { QueuedMessages } from "./queued-messages.ts";
import type { OutboxOwner, SessionContext } from "./session-context.ts";
import { Window } from "./window.ts";

/** The result of offering a message to a session. */
export const Offer = { Ready: 0, Queued: 1, Dropped: 2 } as const;
export type Offer = (typeof Offer)[keyof typeof Offer];

export class Outbox implements PagedOutbox {
  readonly #context: SessionContext;
  readonly owner: OutboxOwner;
  readonly #messages: MessagePool;
  readonly #counters: Float64Array;
  /** Created with the first message that has to wait. */
  #queued: QueuedMessages | null = null;
  #ready: DeliveryQueue | null = null;
  #readyBytes = 0;
  /** The number of QoS 1 and 2 entries in `ready`; each has a place in the window. */
  #readyWindow = 0;
  /** Sent messages whose acknowledgement is not complete; null: none, and none were since the client connected. */
  window: Window | null = null;
  #windowMax: number;
  #lastPacketId = 0;
  /** Identifiers assigned since the window was last empty: below 65535, none can be in use again. */
  #idsSinceEmpty = 0;
  /** Whether it waits for its next page; of the pager. */
  isWanting = false;
  /** Whether its entries may be paged out; of the pager. */
  isCandidate = false;
  /** Whether a page of messages to resend is on its way. */
  #isResendAsked = false;

  constructor(context: SessionContext, owner: OutboxOwner) {
    const { messages, limits, counters } = context;
    this.#context = context;
    this.owner = owner;
    this.#messages = messages;
    this.#counters = counters;
    this.#windowMax = limits.inflightMax;
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
  /** Creates the window with the first message that needs it. */
  openWindow(): Window {
    this.window ??= new Window(this.#context, this.owner.record);
    return this.window;
  }
  get #windowCount(): number {
    return this.window === null ? 0 : this.window.count;
  }
  get hasWindowRoom(): boolean {
    return this.windowFree > 0;
  }
  /** How many more may be in flight. */
  get windowFree(): number {
    return Math.max(0, this.#windowMax - this.#windowCount - this.#readyWindow);
  }

  /**
   * Offers a message to a session whose client is connected. Takes a reference unless the message is
   * dropped. `bytes`: what its entry counts in the limits. `origin`: the matching subscriptions, as far as
   * the packet names them. `isBlocked`: the transport takes no bytes now, so the output is bounded.
   */
  offer(
    message: MessageSlot,
    bytes: number,
    delivery: number,
    origin: Origin,
    isBlocked: boolean,
  ): Offer {
    if ((delivery & DELIVERY_QOS) === 0) {
      if (isBlocked && this.#readyBytes + bytes > this.#context.limits.outputBytesMax) {
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

  /** Queues a message until the window has room or the client connects. Drops the newest beyond the limits. */
  enqueue(message: MessageSlot, delivery: number, origin: Origin): Offer {
    const isQueued = this.#queue().enqueue(message, delivery, origin);
    return isQueued ? Offer.Queued : Offer.Dropped;
  }

  #queue(): QueuedMessages {
    this.#queued ??= new QueuedMessages(this.#context, this, this.owner.record);
    return this.#queued;
  }

  /** Moves entries from `queued` to `ready` while the window has room; true if any is ready. */
  refill(): boolean {
    if (this.queuedCount > 0) this.#refillFrom(this.#queued!);
    return this.readyCount > 0;
  }

  #refillFrom(queued: QueuedMessages): void {
    queued.dropExpired();
    while (queued.count > 0) {
      const delivery = queued.word();
      const needsWindow = (delivery & DELIVERY_QOS) !== 0;
      if (needsWindow && !this.hasWindowRoom) break;
      let message = queued.message();
      if (isPaged(message)) {
        message = queued.placeHead();
        if (message === 0) break;
      }
      const bytes = this.#messages.size(message) + ENTRY_BYTES;
      // Recorded as sent before its queued record is removed, so that the record of the message
      // stays.
      this.#pushReady(message, delivery, queued.origin(), bytes);
      queued.shift();
      queued.dropExpired();
    }
    queued.trim();
    if (queued.wantsPage) this.#context.pager!.want(this);
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
    this.openWindow().push(packetId, message, word & DELIVERY_BITS, ready.origin());
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
    return this.window === null ? -1 : this.window.resendPosition(this.#windowMax);
  }

  /**
   * The message at `position` in the window exceeds the client's Maximum Packet Size now: it is not
   * resent.
   */
  discardResend(position: number): void {
    this.window!.discard(position);
    this.refill();
  }

  /**
   * The client is connected, with a window size of its own: every unacknowledged PUBLISH is resent
   * in order [MQTT311-4.4.0-1] [MQTT311-4.6.0-1], followed by the queued messages.
   */
  attach(windowMax: number): void {
    this.#windowMax = windowMax;
    this.window?.startResend();
    this.refill();
    if (this.#wantsResend) this.#context.pager!.want(this);
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
      this.#queue().unshift(message, delivery, origin);
      this.#removeSentRecord(word >>> PACKET_ID_SHIFT, message);
    }
    if (this.#windowCount === 0) this.window = null;
    this.window?.stopResend();
    if (this.owner.record !== null) this.#context.pager?.noteQueued(this);
  }

  /**
   * The undelivered messages of shared subscriptions that another subscriber may get: not those
   * that were sent at QoS 2 [MQTT-4.8.2-5].
   */
  *unfinishedShared(): Generator<{ readonly message: MessageSlot; readonly group: number }> {
    const { window } = this;
    for (let i = 0; i < (window?.sentCount ?? 0); i++) {
      const group = window!.sentOrigin(i)?.group ?? 0;
      const isExactlyOnce = (window!.sentDelivery(i) & DELIVERY_QOS) === 2;
      if (group !== 0 && !isExactlyOnce) yield { message: window!.sentMessage(i), group };
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
    this.#queue().restore(n, message, delivery, origin);
  }

  /** The next identifiers follow a recovered one, and each is checked for use. */
  continueIdsAfter(packetId: number): void {
    this.#lastPacketId = packetId;
    this.#idsSinceEmpty = 65_535;
  }

  /** Drops everything when the session ends. */
  clear(): void {
    this.detach(false);
    this.#queued?.clear();
    this.window?.clear();
    this.#queued = null;
  }

  /** Pages out messages while they are far from being sent. Returns how many it passed. */
  pageOut(countMax: number): number {
    const count = this.#queued?.pageOut(countMax) ?? 0;
    const mayResend = this.owner.connSlot !== 0 || this.#isResendAsked;
    return count > 0 || mayResend ? count : (this.window?.pageOut() ?? 0);
  }

  /** Whether messages are left in memory that may be paged out once they are stored. */
  get hasUnpaged(): boolean {
    if (this.#queued?.hasUnpaged === true) return true;
    return this.owner.connSlot === 0 && this.window?.hasUnpaged === true;
  }

  /** How many messages the client could be sent now, if they were loaded. */
  get loadableCount(): number {
    if (this.#wantsResend) return this.window!.sentCount;
    return this.#queued?.isHeadToLoad === true ? this.windowFree : 0;
  }

  /** Whether a page is to be loaded now or ahead of need. */
  get wantsPage(): boolean {
    return this.#wantsResend || (this.#queued?.wantsPage ?? false);
  }

  get #wantsResend(): boolean {
    if (this.#isResendAsked) return false;
    const position = this.resendPosition;
    return position >= 0 && isPaged(this.window!.sentMessage(position));
  }

  /** The next messages to load, up to `countMax` and `bytesMax`; it may be empty. */
  nextPage(countMax: number, bytesMax: number): Page {
    const page = new Page(this, countMax, bytesMax);
    if (this.#wantsResend) {
      this.window!.fillPage(page);
      this.#isResendAsked = page.count > 0;
    } else {
      this.#queued?.fillPage(page);
    }
    return page;
  }

  /** Whether the place of a page's message `index` is still there. */
  hasPlace({ isSent, numbers, messages }: Page, index: number): boolean {
    const [n, message] = [numbers[index]!, messages[index]!];
    if (isSent) return this.window?.isAt(n, message) === true;
    return this.#queued?.isAt(n, message) ?? false;
  }

  /** A page was answered: its messages that are in memory now get their places. */
  placePage(page: Page): void {
    if (page.isSent) {
      this.#isResendAsked = false;
      this.window?.placePage(page);
    } else {
      this.#queued?.placePage(page);
      this.#queued?.endPage(page);
    }
  }

  /** A QoS 1 or 2 message gets its place in the window and its packet identifier. */
  #pushReady(message: MessageSlot, delivery: number, origin: Origin, bytes: number): void {
    let word = delivery;
    let seq = this.#messages.awaitedSeq(message);
    if ((delivery & DELIVERY_QOS) !== 0) {
      const packetId = this.#newPacketId();
      word |= packetId << PACKET_ID_SHIFT;
      this.#readyWindow++;
      if (this.owner.record !== null) {
        this.owner.record.putSent(packetId, message, delivery, origin);
        // A QoS 2 message waits for the record of its identifier: resent under another one after a
        // restart, it would count as a second message.
        const waits = (delivery & DELIVERY_QOS) === 2 && !this.#messages.skipsCommits(message);
        if (waits) seq = this.owner.record.lastSeq >>> 0;
      }
    }
    this.#ready ??= this.#context.queues.acquire();
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
    this.#context.queues.release(ready);
    this.#ready = null;
  }

  #newPacketId(): number {
    let id = this.#lastPacketId;
    if (this.#windowCount === 0 && this.#readyWindow === 0) this.#idsSinceEmpty = 0;
    do {
      id = id === 65_535 ? 1 : id + 1;
    } while (this.#idsSinceEmpty >= 65_535 && this.#isInUse(id)); // [MQTT311-2.3.1-4]
    this.#lastPacketId = id;
    this.#idsSinceEmpty++;
    return id;
  }

  #removeSentRecord(packetId: number, message: MessageSlot): void {
    if (packetId !== 0) this.owner.record?.removeSent(packetId, message);
  }

  #isInUse(packetId: number): boolean {
    if (this.window?.isInUse(packetId) === true) return true;
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
