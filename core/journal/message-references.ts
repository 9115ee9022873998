/**
 * How many records refer to each message, which messages are stored, and the memory of those that
 * may leave it.
 *
 * A message that is in memory and paged out at once has references on both sides. Its record goes
 * with the last of them.
 */
import { grownF64, grownU32 } from "../base/columns.ts";
import type { Seq } from "../boundary.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { RECORD_BYTES } from "../message/message-pool.ts";
import type { PagedMessages } from "../message/paged-messages.ts";
import { isPaged } from "../message/paged-messages.ts";
import { Counter } from "../observe/counters.ts";
import type { Journal } from "./journal.ts";

export class MessageReferences {
  readonly #journal: Journal;
  readonly #messages: MessagePool;
  readonly #paged: PagedMessages;
  readonly #counters: Float64Array;
  /** How many records refer to the message in a slot of the pool. */
  #counts: Uint32Array = new Uint32Array(64);
  /** The write that put the record of that message; 0: it was durable before. */
  #writtenSeqs: Float64Array = new Float64Array(64);
  /** The memory of the recorded messages that are not retained: most of them are queued. */
  residentBytes = 0;

  constructor(
    journal: Journal,
    messages: MessagePool,
    paged: PagedMessages,
    counters: Float64Array,
  ) {
    this.#journal = journal;
    this.#messages = messages;
    this.#paged = paged;
    this.#counters = counters;
  }

  /** Whether a record refers to a message. */
  isReferenced(message: MessageSlot): boolean {
    if (isPaged(message)) return this.#paged.references(message) > 0;
    return (this.#counts[message] ?? 0) > 0;
  }

  /** Whether the record of a message in memory is durable, so that its bytes may leave memory. */
  isStored(message: MessageSlot): boolean {
    return this.isReferenced(message) && this.#writtenSeqs[message]! <= this.#journal.committed;
  }

  /**
   * How many messages that were acknowledged on receipt have a record that is not durable. Looks at
   * every message in memory: none of them is paged out.
   */
  countUnstored(): number {
    let count = 0;
    for (let message = 1 as MessageSlot; message < this.#counts.length; message++) {
      const isUnstored = this.#counts[message]! > 0 && !this.isStored(message);
      if (isUnstored && this.#messages.skipsCommits(message)) count++;
    }
    return count;
  }

  /** The key of the message's record. */
  serial(message: MessageSlot): number {
    return isPaged(message) ? this.#paged.serial(message) : this.#messages.serial(message);
  }

  /** A new record refers to a message. True: the message has no record yet; it is to be put. */
  retain(message: MessageSlot): boolean {
    this.#counters[Counter.storeBytes]! += REFERENCE_BYTES;
    if (isPaged(message)) {
      this.#paged.retain(message);
      return false;
    }
    this.#growTo(message);
    const isFirst = this.#counts[message]!++ === 0;
    if (!isFirst) return false;
    this.#writtenSeqs[message] = 0;
    this.residentBytes += this.#memoryOf(message);
    if (this.#paged.of(message) !== 0) return false;
    this.#counters[Counter.storeBytes]! += this.#messages.size(message);
    return true;
  }

  /** The record of the message was put by this write. */
  noteWritten(message: MessageSlot, seq: Seq): void {
    this.#writtenSeqs[message] = seq;
  }

  /**
   * A record that referred to the message was removed. Returns the serial of the message if its own
   * record is to be removed too, otherwise 0.
   */
  release(message: MessageSlot): number {
    this.#counters[Counter.storeBytes]! -= REFERENCE_BYTES;
    if (isPaged(message)) return this.releasePaged(message);
    if (--this.#counts[message]! > 0) return 0;
    this.residentBytes -= this.#memoryOf(message);
    if (this.#paged.of(message) !== 0) return 0;
    this.#counters[Counter.storeBytes]! -= this.#messages.size(message);
    return this.#messages.serial(message);
  }

  /** Like `release`, for a reference of something else than a record. */
  releasePaged(paged: MessageSlot): number {
    const resident = this.#paged.resident(paged);
    const [serial, size] = [this.#paged.serial(paged), this.#paged.size(paged)];
    if (this.#paged.release(paged) > 0) return 0;
    if (resident !== 0 && this.isReferenced(resident)) return 0;
    this.#counters[Counter.storeBytes]! -= size;
    return serial;
  }

  /**
   * The record of a queue refers to the paged form of a stored message from now on, which is
   * returned.
   */
  pageOut(message: MessageSlot): MessageSlot {
    let paged = this.#paged.of(message);
    if (paged === 0) {
      const messages = this.#messages;
      paged = this.#paged.add({
        serial: messages.serial(message),
        size: messages.size(message),
        qos: messages.qos(message),
        isRetained: messages.isRetained(message),
        expiresAt: messages.expiresAt(message),
      });
      this.#paged.link(paged, message);
    }
    this.#paged.retain(paged);
    if (--this.#counts[message]! === 0) this.residentBytes -= this.#memoryOf(message);
    return paged;
  }

  /** The opposite of `pageOut`. */
  pageIn(paged: MessageSlot, message: MessageSlot): void {
    this.#keepResident(message);
    this.#paged.release(paged);
  }

  /** A recovered record refers to a message. */
  keep(message: MessageSlot): void {
    if (!this.isReferenced(message)) {
      const size = isPaged(message) ? this.#paged.size(message) : this.#messages.size(message);
      this.#counters[Counter.storeBytes]! += size;
    }
    this.#counters[Counter.storeBytes]! += REFERENCE_BYTES;
    if (isPaged(message)) this.#paged.retain(message);
    else this.#keepResident(message);
  }

  /** One of the records that refer to the message retains it: it stays in memory. */
  startRetaining(message: MessageSlot): void {
    this.residentBytes -= this.#memoryOf(message);
  }
  /** Its bytes may leave memory as far as the retained messages are concerned. */
  endRetaining(message: MessageSlot): void {
    this.residentBytes += this.#memoryOf(message);
  }

  /** A record that is durable refers to a message in memory. */
  #keepResident(message: MessageSlot): void {
    this.#growTo(message);
    if (this.#counts[message]!++ > 0) return;
    this.#writtenSeqs[message] = 0;
    this.residentBytes += this.#memoryOf(message);
  }

  #growTo(message: MessageSlot): void {
    this.#counts = grownU32(this.#counts, message);
    this.#writtenSeqs = grownF64(this.#writtenSeqs, message);
  }

  #memoryOf(message: MessageSlot): number {
    return this.#messages.size(message) + RECORD_BYTES;
  }
}

/** About the bytes in the store of a record that refers to a message, with its key. */
const REFERENCE_BYTES = 64;
