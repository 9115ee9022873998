/**
 * Decides which messages leave memory, and which are loaded again.
 *
 * Once the record of a queued message is durable, its bytes may leave memory. They do when the
 * recorded messages take more than `queuedBytesInMemoryMax`: first those of clients that are not
 * connected, then those of clients that are slow. When a client takes its messages, the next ones
 * are loaded ahead of need, a page at a time.
 *
 * No step looks at all sessions: an outbox becomes a candidate when it gets an entry, and waits for
 * a page when its client takes messages.
 */
import { ObjectRing } from "../base/ring.ts";
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { Limits } from "../config.ts";
import type { MessageReferences } from "../journal/message-references.ts";
import type { MessagePool } from "../message/message-pool.ts";
import type { PagedMessages } from "../message/paged-messages.ts";
import { Counter } from "../observe/counters.ts";
import { ENTRY_BYTES } from "./delivery-queue.ts";
import type { Page, PagedOutbox } from "./page.ts";
import { PAGE_BYTES_MAX, PAGE_MESSAGES_MAX } from "./page.ts";

export class Pager {
  readonly paged: PagedMessages;
  readonly #messages: MessagePool;
  readonly #references: MessageReferences;
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  /** Outboxes with entries in memory: those of clients that are not connected, and the others. */
  readonly #away = new ObjectRing<PagedOutbox>();
  readonly #connected = new ObjectRing<PagedOutbox>();
  /** Candidates whose next entry is not durable yet. */
  #blocked: PagedOutbox[] = [];
  /** Outboxes that wait for their next page, in turn. */
  readonly #wanting = new ObjectRing<PagedOutbox>();
  readonly #inFlight: Page[] = [];
  #inFlightBytes = 0;
  /** Outboxes whose next messages need not be loaded after all. */
  #resuming: PagedOutbox[] = [];
  /** Memory is over the budget, and entries are left to page out. */
  #mustContinue = false;
  /** No page is loaded before, because memory is exhausted; NEVER: it is not. */
  #starvedUntil: Millis = NEVER;

  constructor(
    messages: MessagePool,
    paged: PagedMessages,
    references: MessageReferences,
    limits: Limits,
    counters: Float64Array,
  ) {
    this.#messages = messages;
    this.paged = paged;
    this.#references = references;
    this.#limits = limits;
    this.#counters = counters;
  }

  /** An outbox got entries that may be paged out once they are stored. */
  noteQueued(outbox: PagedOutbox): void {
    if (outbox.isCandidate) return;
    outbox.isCandidate = true;
    (outbox.owner.connSlot === 0 ? this.#away : this.#connected).push(outbox);
  }

  /** Writes are durable now: pages out messages until the others fit the budget. */
  pageOutAfterCommit(): void {
    const blocked = this.#blocked;
    this.#blocked = [];
    for (const outbox of blocked) {
      outbox.isCandidate = false;
      this.noteQueued(outbox);
    }
    this.#pageOut();
    // Memory may be free again.
    this.#starvedUntil = NEVER;
  }

  /** Pages out messages, at most so many that the call is short. */
  #pageOut(): void {
    let left = PAGED_OUT_MAX;
    while (this.#excess > 0 && left > 0) {
      const outbox = this.#nextCandidate();
      if (outbox === null) break;
      const count = outbox.pageOut(Math.min(left, TURN_ENTRIES));
      left -= Math.max(count, 1);
      if (count > 0) this.noteQueued(outbox);
      else if (outbox.hasUnpaged) this.#block(outbox);
    }
    this.#mustContinue = left <= 0 && this.#excess > 0;
  }

  /** A client takes its messages, and some of them are to be loaded now or soon. */
  want(outbox: PagedOutbox): void {
    if (outbox.isWanting) return;
    outbox.isWanting = true;
    this.#wanting.push(outbox);
  }

  /** The numbers of the messages of the next page to load; null: none. */
  pollLoad(): Float64Array | null {
    if (this.#starvedUntil !== NEVER) return null;
    while (this.#wanting.count > 0 && this.#inFlight.length < PAGES_MAX) {
      const memory = this.freeBytes - this.#inFlightBytes;
      if (memory < MEMORY_MIN && this.#inFlight.length === 0) this.starve();
      if (memory < MEMORY_MIN) return null;
      const outbox = this.#wanting.at(0)!;
      this.#wanting.drop();
      outbox.isWanting = false;
      // A client that is gone gets its messages when it connects again.
      if (outbox.owner.connSlot === 0 || !outbox.wantsPage) continue;
      const page = this.#nextPage(outbox, Math.min(PAGE_BYTES_MAX, memory / 2));
      if (page === null) continue;
      if (page.count === 0) {
        this.#resuming.push(outbox);
        continue;
      }
      this.#inFlight.push(page);
      this.#inFlightBytes += page.bytes;
      if (outbox.wantsPage) this.want(outbox);
      return Float64Array.from(page.serials);
    }
    return null;
  }

  /** Memory is exhausted: nothing is loaded for a while. */
  starve(): void {
    this.#starvedUntil = (this.#messages.now + STARVED_MILLIS) as Millis;
  }

  /** When `handleTimeout` is to be called; NEVER if it need not be. */
  nextTimeout(): Millis {
    if (this.#mustContinue || this.#resuming.length > 0) return this.#messages.now;
    return this.#starvedUntil;
  }

  /** Returns outboxes that can go on without a load. */
  handleTimeout(now: Millis): readonly PagedOutbox[] {
    // Memory may be free again.
    if (this.#starvedUntil <= now) this.#starvedUntil = NEVER;
    if (this.#mustContinue) this.#pageOut();
    const resuming = this.#resuming;
    this.#resuming = [];
    return resuming;
  }

  /** Takes the page that a load was made for; null: there is none. */
  takePage(numbers: Float64Array): Page | null {
    const index = this.#inFlight.findIndex(({ serials }) => isEqual(serials, numbers));
    if (index < 0) return null;
    const [page] = this.#inFlight.splice(index, 1);
    this.#inFlightBytes -= page!.bytes;
    return page!;
  }

  /** A page was answered: gives its messages that are in memory now their places. */
  placePage(page: Page): void {
    const { owner: outbox } = page;
    outbox.placePage(page);
    if (outbox.owner.connSlot !== 0 && outbox.wantsPage) this.want(outbox);
    this.noteQueued(outbox);
  }

  #nextPage(outbox: PagedOutbox, bytesMax: number): Page | null {
    // Half of it is left for new messages: what is loaded ahead is not to be paged out again.
    const room = (-this.#excess - this.#inFlightBytes) / 2;
    if (room >= SCARCE_BYTES_MAX) {
      return outbox.nextPage(PAGE_MESSAGES_MAX, Math.min(bytesMax, room));
    }
    // Without room, only what can be sent at once is loaded, and little of it.
    const count = Math.min(outbox.loadableCount, PAGE_MESSAGES_MAX);
    return count === 0 ? null : outbox.nextPage(count, Math.min(bytesMax, SCARCE_BYTES_MAX));
  }

  /** How much of `messageBytesMax` neither messages nor queue entries take. */
  get freeBytes(): number {
    const entryBytes = this.#counters[Counter.queued]! * ENTRY_BYTES;
    return this.#limits.messageBytesMax - this.#messages.byteCount - entryBytes;
  }

  /** How many bytes have to leave memory. */
  get #excess(): number {
    const overBudget = this.#references.residentBytes - this.#limits.queuedBytesInMemoryMax;
    const overAll = this.#limits.messageBytesMax * (1 - FULL_SHARE) - this.freeBytes;
    return Math.max(overBudget, overAll);
  }

  #nextCandidate(): PagedOutbox | null {
    for (;;) {
      const ring = this.#away.count > 0 ? this.#away : this.#connected;
      if (ring.count === 0) return null;
      const outbox = ring.at(0)!;
      ring.drop();
      outbox.isCandidate = false;
      const isAway = outbox.owner.connSlot === 0;
      if (isAway || ring === this.#connected) return outbox;
      this.noteQueued(outbox);
    }
  }

  #block(outbox: PagedOutbox): void {
    outbox.isCandidate = true;
    this.#blocked.push(outbox);
  }
}

function isEqual(serials: readonly number[], numbers: Float64Array): boolean {
  return serials.length === numbers.length && serials.every((serial, i) => serial === numbers[i]);
}

/** Maximum entries that one call pages out: about a millisecond. */
const PAGED_OUT_MAX = 16_384;
/** Maximum entries of one outbox before another has its turn. */
const TURN_ENTRIES = 256;
/** Maximum pages of all sessions on their way. */
const PAGES_MAX = 32;
/** Maximum bytes of a page while the budget is almost used up. */
const SCARCE_BYTES_MAX = 16_384;
/** With less free memory, nothing is loaded. */
const MEMORY_MIN = 131_072;
/** How long no page is loaded then. */
const STARVED_MILLIS = 100;
/** When messages of all kinds take this share of `messageBytesMax`, queued ones leave memory. */
const FULL_SHARE = 0.75;
