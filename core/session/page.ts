/** The messages of one session that are loaded together, and what loads them for it. */
import type { MessageSlot } from "../message/message-pool.ts";
import { RECORD_BYTES } from "../message/message-pool.ts";

/** An outbox as the pager sees it. */
export interface PagedOutbox {
  /** Its session; the slot is 0 while the client is disconnected. */
  readonly owner: { readonly clientId: string; readonly connSlot: number };
  /** Whether it waits for its next page; of the pager. */
  isWanting: boolean;
  /** Whether its entries may be paged out; of the pager. */
  isCandidate: boolean;
  /** Pages out messages that are far from being sent. Returns how many it passed. */
  pageOut(countMax: number): number;
  /** Whether messages are left in memory that may be paged out once they are stored. */
  readonly hasUnpaged: boolean;
  /** Whether a page is to be loaded now or ahead of need. */
  readonly wantsPage: boolean;
  /** How many messages the client could be sent now, if they were loaded. */
  readonly loadableCount: number;
  /** The next messages to load, up to `countMax` and `bytesMax`; it may be empty. */
  nextPage(countMax: number, bytesMax: number): Page;
  /** Whether the place of a page's message `index` is still there. */
  hasPlace(page: Page, index: number): boolean;
  /** A page was answered: its messages that are in memory now get their places. */
  placePage(page: Page): void;
  /** Makes messages ready while the window has room; true if any is ready. */
  refill(): boolean;
  /** Position in the window of the next message to resend, or -1. */
  readonly resendPosition: number;
}

export class Page {
  readonly owner: PagedOutbox;
  /** Whether these are messages of the window, to be resent; otherwise they are queued. */
  isSent = false;
  /** Packet identifiers in the window, or the numbers of queued entries. */
  readonly numbers: number[] = [];
  /** The slots of the paged messages. */
  readonly messages: MessageSlot[] = [];
  /** Their serials: the keys of their records. */
  readonly serials: number[] = [];
  /** The memory that the messages take. */
  bytes = 0;
  readonly #countMax: number;
  readonly #bytesMax: number;

  constructor(owner: PagedOutbox, countMax: number, bytesMax: number) {
    this.owner = owner;
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.serials.length;
  }

  /** Adds a message. False: the page is full. It takes at least one message. */
  add(n: number, message: MessageSlot, serial: number, size: number): boolean {
    const bytes = size + RECORD_BYTES;
    const isFull = this.count >= this.#countMax || this.bytes + bytes > this.#bytesMax;
    if (this.count > 0 && isFull) return false;
    this.numbers.push(n);
    this.messages.push(message);
    this.serials.push(serial);
    this.bytes += bytes;
    return true;
  }
}

/** Maximum bytes of a page, unless its only message is longer. */
export const PAGE_BYTES_MAX = 262_144;
/** Maximum messages of a page. */
export const PAGE_MESSAGES_MAX = 256;
