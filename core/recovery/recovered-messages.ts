/**
 * The messages of a store, found by their number.
 *
 * If queued messages may be paged out, the bytes of those beyond the budget are not kept in memory.
 */
import { grownF64, grownU32 } from "../base/columns.ts";
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { BrokerContext } from "../context.ts";
import type { MessageFields } from "../journal/decode-records.ts";
import { decodeMessage } from "../journal/decode-records.ts";
import { MESSAGE_HEAD_BYTES } from "../journal/record-keys.ts";
import type { Records } from "../journal/records.ts";
import { createStored } from "../journal/stored-message.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { isPaged } from "../message/paged-messages.ts";

export class RecoveredMessages {
  readonly #context: BrokerContext;
  #serials: Float64Array = new Float64Array(64);
  #slots: Uint32Array = new Uint32Array(64);
  #count = 0;
  /** Whether the serials ascend, as in a store in key order. */
  #isSorted = true;
  /** The index behind the one that was found last: queues have their messages in order. */
  #nextIndex = 0;
  /** The memory of the messages that may leave it. */
  #residentBytes = 0;
  /** A message that has to be in memory does not fit. */
  isOutOfMemory = false;

  constructor(context: BrokerContext) {
    this.#context = context;
  }

  /** Takes a record. */
  take(fields: MessageFields, value: Uint8Array): void {
    const { pager } = this.#context;
    const { serial } = fields;
    const message = pager === null || this.#hasRoom(value) ? this.#create(value, fields) : 0;
    if (message === 0 && pager === null) {
      this.isOutOfMemory = true;
      return;
    }
    const at = this.#count++;
    this.#serials = grownF64(this.#serials, at);
    this.#slots = grownU32(this.#slots, at);
    if (at > 0 && serial <= this.#serials[at - 1]!) this.#isSorted = false;
    this.#serials[at] = serial;
    this.#slots[at] = message === 0 ? this.#addPaged(value, fields) : message;
    if (message !== 0) this.#residentBytes += value.length;
  }

  /** Takes the record of a message that has to be in memory. */
  takeWanted(key: Uint8Array, value: Uint8Array): void {
    const fields = decodeMessage(key, value);
    const index = fields === null ? -1 : this.#indexOf(fields.serial);
    const paged = this.#slots[index] ?? 0;
    if (!isPaged(paged)) return;
    const message = this.#create(value, fields!);
    if (message === 0) {
      this.isOutOfMemory = true;
      return;
    }
    this.#context.pager!.paged.forget(paged);
    this.#slots[index] = message;
  }

  /** The message with this number, or 0. */
  find(serial: number): MessageSlot {
    // First: it may sort both columns.
    const index = this.#indexOf(serial);
    return index < 0 ? 0 : this.#slots[index]!;
  }

  /** The message with this number if it is in memory, or 0. */
  findResident(serial: number): MessageSlot {
    const message = this.find(serial);
    return isPaged(message) ? 0 : message;
  }

  /** Passes the serials of the messages that no record refers to; returns the number of the others. */
  dropOrphans({ references }: Records, drop: (serial: number) => void): number {
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      const message = this.#slots[i]!;
      if (references.isReferenced(message)) {
        kept++;
        continue;
      }
      drop(this.#serials[i]!);
      if (!isPaged(message)) continue;
      this.#context.pager!.paged.forget(message);
      this.#slots[i] = 0;
    }
    return kept;
  }

  /** Recovery is complete: the references of records keep the messages. */
  release(): void {
    for (let i = 0; i < this.#count; i++) {
      const message = this.#slots[i]!;
      if (message !== 0 && !isPaged(message)) this.#context.messages.release(message);
    }
    this.#count = 0;
  }

  /** Whether a message may be in memory: at most half of the memory for messages has queued ones. */
  #hasRoom(value: Uint8Array): boolean {
    const { queuedBytesInMemoryMax, messageBytesMax } = this.#context.limits;
    const bytesMax = Math.min(queuedBytesInMemoryMax, messageBytesMax / 2);
    const isInBudget = this.#residentBytes + value.length <= bytesMax;
    return isInBudget && this.#context.messages.hasRoom(value.length);
  }

  #create(value: Uint8Array, fields: MessageFields): MessageSlot {
    return createStored(this.#context.messages, value, fields, this.#expiresAt(fields));
  }

  #addPaged(value: Uint8Array, fields: MessageFields): MessageSlot {
    const { serial, qos, isRetained } = fields;
    const size = value.length - MESSAGE_HEAD_BYTES;
    const expiresAt = this.#expiresAt(fields);
    this.#context.messages.continueAfter(serial);
    return this.#context.pager!.paged.add({ serial, size, qos, isRetained, expiresAt });
  }

  #expiresAt({ expiresAt }: MessageFields): Millis {
    return (expiresAt === 0 ? NEVER : expiresAt - this.#context.epochMillis) as Millis;
  }

  /** The index of a serial, or -1. */
  #indexOf(serial: number): number {
    if (!this.#isSorted) this.#sort();
    const serials = this.#serials;
    if (this.#nextIndex < this.#count && serials[this.#nextIndex] === serial) {
      return this.#nextIndex++;
    }
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (serials[middle]! < serial) low = middle + 1;
      else high = middle;
    }
    if (low === this.#count || serials[low] !== serial) return -1;
    this.#nextIndex = low + 1;
    return low;
  }

  #sort(): void {
    const [serials, slots] = [this.#serials, this.#slots];
    const order = Uint32Array.from({ length: this.#count }, (_, at) => at);
    order.sort((a, b) => serials[a]! - serials[b]!);
    this.#serials = Float64Array.from(order, (at) => serials[at]!);
    this.#slots = Uint32Array.from(order, (at) => slots[at]!);
    this.#isSorted = true;
  }
}
