/**
 * The messages of one session that wait for the window or the client, in order.
 *
 * Of a long queue, the bytes of the messages in the middle or at the end may be in the store only:
 * the entries in the numbers [pagedFrom, pagedTo). An entry there has the slot of a paged message,
 * unless it was loaded, or cannot be paged out because it is not recorded. Every other entry has
 * the slot of a message in memory, or is dropped without its bytes: it is expired or lost.
 */

import { POSITION_FIRST, POSITION_MAX } from "../journal/record-keys.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { isPaged } from "../message/paged-messages.ts";
import { DELIVERY_QOS } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { DeliveryOrigin } from "./delivery-queue.ts";
import { DeliveryQueue, ENTRY_BYTES } from "./delivery-queue.ts";
import type { Page, PagedOutbox } from "./page.ts";
import { PAGE_BYTES_MAX } from "./page.ts";
import type { SessionContext } from "./session-context.ts";
import type { SessionRecord } from "./session-record.ts";

export class QueuedMessages {
  readonly #context: SessionContext;
  readonly #owner: PagedOutbox;
  /** Null if the session is not recorded. */
  readonly #record: SessionRecord | null;
  #entries: DeliveryQueue | null = null;
  /** The bytes of all entries, in memory or not. */
  #bytes = 0;
  /** The number of the oldest entry; later entries have consecutive numbers. Records have its low 32 bits. */
  #first: number = POSITION_FIRST;
  #pagedFrom = 0;
  #pagedTo = 0;
  /** Entries before this number are in memory or on their way. */
  #askedTo = 0;
  /** The pages on their way, and the bytes of their messages. */
  #pageCount = 0;
  #askedBytes = 0;
  /** At most the bytes of the messages that were loaded and are still queued. */
  #loadedBytes = 0;

  constructor(context: SessionContext, owner: PagedOutbox, record: SessionRecord | null) {
    this.#context = context;
    this.#owner = owner;
    this.#record = record;
  }

  get count(): number {
    return this.#entries === null ? 0 : this.#entries.count;
  }
  /** The oldest message. */
  message(index = 0): MessageSlot {
    return this.#entries!.message(index);
  }
  word(index = 0): number {
    return this.#entries!.word(index);
  }
  origin(index = 0): DeliveryOrigin | null {
    return this.#entries!.origin(index);
  }

  /** Appends a message, and takes a reference. False: a limit forbids it, and the message is dropped. */
  enqueue(message: MessageSlot, delivery: number, origin: DeliveryOrigin | null): boolean {
    if (this.#first > POSITION_MAX) this.#beginAnewIfEmpty();
    const bytes = this.#size(message) + ENTRY_BYTES;
    if (!this.#hasRoom(bytes)) {
      this.dropExpired();
      if (!this.#hasRoom(bytes)) {
        this.#context.counters[Counter.droppedQueueFull]!++;
        return false;
      }
    }
    if (this.#isRecorded(delivery)) {
      if (!this.#hasRoomInStore(bytes)) return false;
      this.#record!.putQueued(this.#end >>> 0, message, delivery, origin);
      this.#context.pager?.noteQueued(this.#owner);
    } else if (isPaged(message)) {
      this.#context.pager!.paged.retain(message);
    }
    this.#append(message, delivery, origin);
    return true;
  }

  /**
   * Appends a recovered entry. `n` is its number in its record, and one more than that of the entry
   * before it.
   */
  restore(n: number, message: MessageSlot, delivery: number, origin: DeliveryOrigin | null): void {
    if (this.count === 0) this.#first = n;
    this.#append(message, delivery, origin);
    this.#context.pager?.noteQueued(this.#owner);
  }

  /** Puts a message back before all others. Takes over its reference. */
  unshift(message: MessageSlot, delivery: number, origin: DeliveryOrigin | null): void {
    const n = --this.#first;
    if (this.#isRecorded(delivery)) this.#record!.putQueued(n >>> 0, message, delivery, origin);
    this.#entries ??= new DeliveryQueue();
    this.#entries.unshift(message, delivery, origin);
    this.#bytes += this.#size(message) + ENTRY_BYTES;
    this.#context.counters[Counter.queued]!++;
  }

  /** Removes the oldest entry, whose message is in memory; the caller takes over its reference. */
  shift(): void {
    const message = this.#entries!.message();
    this.#drop(message, this.#context.messages.size(message));
  }

  /** Drops the oldest entries while they are expired [MQTT-3.3.2-5] or lost. */
  dropExpired(): void {
    while (this.count > 0) {
      const message = this.#entries!.message();
      if (isPaged(message)) {
        if (!this.#isGone(message)) return;
        const isLost = this.#context.pager!.paged.isLost(message);
        this.#context.counters[isLost ? Counter.droppedLost : Counter.droppedExpired]!++;
      } else {
        if (!this.#context.messages.isExpired(message)) return;
        this.#context.counters[Counter.droppedExpired]!++;
      }
      this.#discard();
    }
  }

  /** Drops all entries when the session ends. */
  clear(): void {
    while (this.count > 0) this.#discard();
    this.#entries = null;
    this.#bytes = 0;
    this.#pagedFrom = 0;
    this.#pagedTo = 0;
  }

  /** Frees the memory of entries that are gone, if a long queue is empty now. */
  trim(): void {
    const entries = this.#entries;
    if (entries?.count === 0 && entries.capacity > KEPT_ENTRIES_MAX) this.#entries = null;
  }

  /**
   * Pages out up to `countMax` entries whose messages are stored: those farthest from being sent
   * first. Returns how many entries it passed.
   */
  pageOut(countMax: number): number {
    const end = this.#first + this.count;
    this.#pagedFrom = Math.max(this.#pagedFrom, this.#first);
    if (this.#pagedFrom >= this.#pagedTo) {
      this.#pagedFrom = this.#pagedTo = this.#first + this.#storedCount();
    }
    let count = 0;
    for (; count < countMax && this.#pagedTo < end; count++) {
      if (!this.#pageOutAt(this.#pagedTo)) break;
      this.#pagedTo++;
    }
    // The messages before those are next to be loaded. None of them may be on its way.
    if (this.#pageCount > 0) return count;
    for (; count < countMax && this.#pagedFrom > this.#first; count++) {
      if (!this.#pageOutAt(this.#pagedFrom - 1)) break;
      this.#pagedFrom--;
    }
    this.#askedTo = this.#pagedFrom;
    this.#loadedBytes = 0;
    return count;
  }

  /** Whether entries are left in memory, which may be paged out once they are stored. */
  get hasUnpaged(): boolean {
    return this.count > 0 && (this.#pagedFrom > this.#first || this.#pagedTo < this.#end);
  }

  /** Whether the next page is to be loaded ahead of need. */
  get wantsPage(): boolean {
    if (this.#pagedTo <= this.#first) return false;
    if (this.#next >= this.#pagedTo || this.#pageCount >= PAGES_MAX) return false;
    if (this.isHeadToLoad) return true;
    return this.#loadedBytes + this.#askedBytes < PAGE_BYTES_MAX;
  }

  /** Whether the oldest message is in the store only, and not on its way. */
  get isHeadToLoad(): boolean {
    return this.#pageCount === 0 && this.count > 0 && isPaged(this.#entries!.message());
  }

  /**
   * Fills a page with the next messages to load. It may stay empty: the next messages are in memory
   * after all, or gone.
   */
  fillPage(page: Page): void {
    const paged = this.#context.pager!.paged;
    let n = this.#next;
    for (let steps = 0; n < this.#pagedTo && steps < STEPS_MAX; n++, steps++) {
      const message = this.#entries!.message(n - this.#first);
      if (!isPaged(message) || this.#isGone(message)) continue;
      const resident = paged.resident(message);
      if (resident !== 0) this.#place(n, message, resident);
      else if (!page.add(n, message, paged.serial(message), paged.size(message))) break;
    }
    this.#askedTo = n;
    this.#advance();
    if (page.count === 0) return;
    this.#pageCount++;
    this.#askedBytes += page.bytes;
  }

  /** The message of the oldest entry, if it is in memory after all; 0: it is to be loaded. */
  placeHead(): MessageSlot {
    const message = this.#entries!.message();
    const resident = this.#context.pager!.paged.resident(message);
    if (resident === 0) return 0;
    this.#place(this.#first, message, resident);
    this.#advance();
    return resident;
  }

  /** A page has arrived: its messages that are in memory get their places. */
  placePage({ numbers, messages, count }: Page): void {
    const paged = this.#context.pager!.paged;
    for (let i = 0; i < count; i++) {
      const [n, message] = [numbers[i]!, messages[i]!];
      if (!this.isAt(n, message)) continue;
      const resident = paged.resident(message);
      if (resident !== 0) this.#place(n, message, resident);
    }
    this.#advance();
  }

  /** The page has been answered, or will not be. Messages without a place are asked for again. */
  endPage({ bytes }: Page): void {
    this.#pageCount--;
    this.#askedBytes -= bytes;
    if (this.#pageCount === 0) this.#askedTo = this.#pagedFrom;
  }

  /** Whether entry `n` still has this message. */
  isAt(n: number, message: MessageSlot): boolean {
    const index = n - this.#first;
    return index >= 0 && index < this.count && this.#entries!.message(index) === message;
  }

  get #end(): number {
    return this.#first + this.count;
  }

  /** The number of the next entry to load. */
  get #next(): number {
    return Math.max(this.#first, this.#pagedFrom, this.#askedTo);
  }

  /**
   * Goes back to the first position behind the largest one of a sound store, so that the positions of
   * a queue that empties now and then never come to the end of a u32. Those of a queue that does not
   * empty go on at 0 there, which the recovery understands. Pages on their way have the old numbers.
   */
  #beginAnewIfEmpty(): void {
    if (this.count > 0 || this.#pageCount > 0) return;
    this.#first = POSITION_FIRST;
    this.#pagedFrom = this.#pagedTo = this.#askedTo = 0;
    this.#loadedBytes = 0;
  }

  #append(message: MessageSlot, delivery: number, origin: DeliveryOrigin | null): void {
    const n = this.#end;
    // A paged message has its reference already: mostly that of the record.
    if (isPaged(message)) {
      if (this.#pagedFrom >= this.#pagedTo) this.#pagedFrom = this.#askedTo = n;
      this.#pagedTo = n + 1;
    } else {
      this.#context.messages.retain(message);
    }
    this.#entries ??= new DeliveryQueue();
    this.#entries.push(message, delivery, origin, 0);
    this.#bytes += this.#size(message) + ENTRY_BYTES;
    this.#context.counters[Counter.queued]!++;
  }

  #size(message: MessageSlot): number {
    return isPaged(message)
      ? this.#context.pager!.paged.size(message)
      : this.#context.messages.size(message);
  }

  #hasRoom(bytes: number): boolean {
    const { limits, messages, counters } = this.#context;
    if (this.count >= limits.queuedMessagesMax) return false;
    if (this.#bytes + bytes > limits.queuedBytesMax) return false;
    // One message may be queued for very many sessions, so the entries count towards the memory for
    // messages too.
    const entryBytes = (counters[Counter.queued]! + 1) * ENTRY_BYTES;
    return messages.byteCount + entryBytes <= limits.messageBytesMax;
  }

  #hasRoomInStore(bytes: number): boolean {
    const { counters, limits } = this.#context;
    if (counters[Counter.storeBytes]! + bytes <= limits.storeBytesMax) return true;
    this.dropExpired();
    if (counters[Counter.storeBytes]! + bytes <= limits.storeBytesMax) return true;
    counters[Counter.droppedStoreFull]!++;
    return false;
  }

  #isGone(message: MessageSlot): boolean {
    const { paged } = this.#context.pager!;
    return paged.isExpired(message) || paged.isLost(message);
  }

  #discard(): void {
    const message = this.#entries!.message();
    this.#drop(message, this.#size(message));
    if (!isPaged(message)) this.#context.messages.release(message);
  }

  /** Removes the oldest entry and its record. A paged message loses its reference with its record. */
  #drop(message: MessageSlot, bytes: number): void {
    const delivery = this.#entries!.word();
    this.#entries!.drop();
    this.#bytes -= bytes + ENTRY_BYTES;
    if (this.#loadedBytes > 0) this.#loadedBytes = Math.max(0, this.#loadedBytes - bytes);
    this.#context.counters[Counter.queued]!--;
    const n = this.#first++ >>> 0;
    if (this.#isRecorded(delivery)) this.#record!.removeQueued(n, message);
    else if (isPaged(message)) this.#context.records!.releasePaged(message);
  }

  #isRecorded(delivery: number): boolean {
    return this.#record !== null && (delivery & DELIVERY_QOS) !== 0;
  }

  /** Pages out entry `n`. False: it is not stored yet. */
  #pageOutAt(n: number): boolean {
    const entries = this.#entries!;
    const index = n - this.#first;
    const message = entries.message(index);
    // An entry at QoS 0 is not recorded, and stays in memory.
    if (isPaged(message) || !this.#isRecorded(entries.word(index))) return true;
    const { references } = this.#context.records!;
    if (!references.isStored(message)) return false;
    entries.setMessage(index, references.pageOut(message));
    this.#context.messages.release(message);
    return true;
  }

  /** How many entries from the oldest on are stored. Later ones were recorded later. */
  #storedCount(): number {
    const { references } = this.#context.records!;
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      const message = this.#entries!.message(middle);
      if (isPaged(message) || references.isStored(message)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Entry `n`, whose message is paged out, gets the same message in memory. */
  #place(n: number, message: MessageSlot, resident: MessageSlot): void {
    const index = n - this.#first;
    const { messages, records } = this.#context;
    messages.retain(resident);
    if (this.#isRecorded(this.#entries!.word(index))) records!.references.pageIn(message, resident);
    else records!.releasePaged(message);
    this.#entries!.setMessage(index, resident);
    this.#loadedBytes += messages.size(resident);
  }

  /** Moves `pagedFrom` behind the entries that need not be loaded. */
  #advance(): void {
    this.#pagedFrom = Math.max(this.#pagedFrom, this.#first);
    while (this.#pagedFrom < this.#pagedTo) {
      const message = this.#entries!.message(this.#pagedFrom - this.#first);
      if (isPaged(message) && !this.#isGone(message)) return;
      this.#pagedFrom++;
    }
  }
}

/** A queue that grew beyond this is dropped when it is empty. */
const KEPT_ENTRIES_MAX = 256;
/** Maximum pages of one session on their way. */
const PAGES_MAX = 2;
/** Maximum entries that one page is searched among. */
const STEPS_MAX = 1024;
