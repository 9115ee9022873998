/**
 * The connections with output to send: each at most once, in turn; not while its transport is
 * blocked.
 */

import { grownU8 } from "../base/columns.ts";
import { Ring } from "../base/ring.ts";

export class SendQueue {
  readonly #ring = new Ring(64);
  #states: Uint8Array = new Uint8Array(64);

  /** The connection in `slot` has output to send. */
  schedule(slot: number): void {
    if (this.#states[slot] !== 0) return;
    this.#states[slot] = QUEUED;
    this.#ring.push(slot);
  }

  /** The transport takes no bytes: the connection gets no turn until `unblock`. */
  block(slot: number): void {
    this.#states[slot]! |= BLOCKED;
  }

  /** The transport takes bytes again: the connection gets a turn, in case it has output. */
  unblock(slot: number): void {
    this.#states[slot]! &= ~BLOCKED;
    this.schedule(slot);
  }

  isScheduled(slot: number): boolean {
    return (this.#states[slot]! & QUEUED) !== 0;
  }

  isBlocked(slot: number): boolean {
    return (this.#states[slot]! & BLOCKED) !== 0;
  }

  /** A new connection takes the slot. */
  open(slot: number): void {
    this.#states = grownU8(this.#states, slot);
    // An entry of the previous connection may still be queued. It gives the new one a turn, which
    // is harmless.
    this.#states[slot]! &= QUEUED;
  }

  /** The next connection in turn, or 0. */
  next(): number {
    while (this.#ring.count > 0) {
      const slot = this.#ring.shift();
      const state = this.#states[slot]! & ~QUEUED;
      this.#states[slot] = state;
      if (state === 0) return slot;
    }
    return 0;
  }
}

const QUEUED = 1;
const BLOCKED = 2;
