/**
 * Packet identifiers that await an acknowledgement, in the order of sending, each with its message
 * and delivery.
 *
 * Acknowledgements mostly arrive in order. Therefore the search starts with the oldest entry, and
 * closing the gap moves the older entries: usually none. Linear, not hashed: a window usually has
 * fewer than 20 entries.
 */
import { grownU16, grownU32 } from "../base/columns.ts";
import type { DeliveryOrigin } from "./delivery-queue.ts";

export class PacketIdQueue {
  #ids: Uint16Array = new Uint16Array(4);
  #messages: Uint32Array = new Uint32Array(4);
  #deliveries: Uint32Array = new Uint32Array(4);
  /** Allocated with the first entry that has an origin. */
  #origins: (DeliveryOrigin | null)[] | null = null;
  #start = 0;
  #end = 0;
  /** Entries still to resend: positions [next, end). */
  #resendNext = 0;
  #resendEnd = 0;

  get count(): number {
    return this.#end - this.#start;
  }

  push(packetId: number, message: number, delivery: number, origin: DeliveryOrigin | null): void {
    if (this.#end === this.#ids.length) this.#makeRoom();
    this.#ids[this.#end] = packetId;
    this.#messages[this.#end] = message;
    this.#deliveries[this.#end] = delivery;
    if (origin !== null && this.#origins === null)
      this.#origins = new Array<DeliveryOrigin | null>(this.#end).fill(null);
    if (this.#origins !== null) this.#origins[this.#end] = origin;
    this.#end++;
  }

  /** The position of an identifier, counted from the oldest, or -1. */
  find(packetId: number): number {
    const ids = this.#ids;
    for (let i = this.#start; i < this.#end; i++) if (ids[i] === packetId) return i - this.#start;
    return -1;
  }

  packetId(position: number): number {
    return this.#ids[this.#start + position]!;
  }
  message(position: number): number {
    return this.#messages[this.#start + position]!;
  }
  setMessage(position: number, message: number): void {
    this.#messages[this.#start + position] = message;
  }
  delivery(position: number): number {
    return this.#deliveries[this.#start + position]!;
  }
  origin(position: number): DeliveryOrigin | null {
    return this.#origins === null ? null : this.#origins[this.#start + position]!;
  }

  removeAt(position: number): void {
    if (position > 0) {
      const from = this.#start;
      this.#ids.copyWithin(from + 1, from, from + position);
      this.#messages.copyWithin(from + 1, from, from + position);
      this.#deliveries.copyWithin(from + 1, from, from + position);
      this.#origins?.copyWithin(from + 1, from, from + position);
    }
    if (this.#origins !== null) this.#origins[this.#start] = null;
    this.#start++;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    if (position < this.#resendNext) this.#resendNext--;
    if (position < this.#resendEnd) this.#resendEnd--;
  }

  /** Marks all current entries for resending, in order. */
  startResend(): void {
    this.#resendNext = 0;
    this.#resendEnd = this.count;
  }

  stopResend(): void {
    this.#resendNext = this.#resendEnd = 0;
  }

  /** Position of the next entry to resend, or -1. */
  get resendPosition(): number {
    return this.#resendNext < this.#resendEnd ? this.#resendNext : -1;
  }

  /** How many resent entries are still unacknowledged. */
  get resentCount(): number {
    return this.#resendNext;
  }

  /** The entry at `resendPosition` has been sent again. */
  confirmResent(): void {
    this.#resendNext++;
  }

  #makeRoom(): void {
    if (this.#start * 2 > this.#end) {
      this.#ids.copyWithin(0, this.#start, this.#end);
      this.#messages.copyWithin(0, this.#start, this.#end);
      this.#deliveries.copyWithin(0, this.#start, this.#end);
      this.#origins?.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
      return;
    }
    this.#ids = grownU16(this.#ids, this.#end);
    this.#messages = grownU32(this.#messages, this.#end);
    this.#deliveries = grownU32(this.#deliveries, this.#end);
  }
}
