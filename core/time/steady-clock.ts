/**
 * The broker's time: the host's clock, made monotonic.
 *
 * The host's clock should not go back, but a test framework can fake it and restore it later. When
 * the host's clock goes back, the broker's time stands still for that call and then advances at the
 * pace of the host's clock, so that no deadline waits until the host's clock has caught up. When
 * the host's clock leaps forward to where it would have been without the fake, the broker's time
 * follows it, so that no deadline fires early either.
 */
import { assert } from "../base/assert.ts";
import type { Millis } from "../boundary.ts";

export class SteadyClock {
  /** The broker's time. */
  now: Millis = 0 as Millis;
  /** How far the host's clock is behind the broker's time. */
  #behind = 0;
  /** The last reading of the host's clock. */
  #reading = 0;
  /** The highest reading of the host's clock so far. */
  #latest = 0;

  /**
   * Takes a reading of the host's clock. Returns false if the reading went back, which leaves `now`
   * unchanged.
   */
  advance(reading: Millis): boolean {
    const isCaughtUp = this.#reading < this.#latest && reading >= this.#latest;
    if (isCaughtUp) this.#behind = Math.max(0, this.now - reading);
    this.#reading = reading;
    if (reading > this.#latest) this.#latest = reading;
    const now = reading + this.#behind;
    if (now >= this.now) {
      this.now = now as Millis;
      return true;
    }
    assert(!Number.isNaN(reading), "the host's clock returns a number");
    this.#behind = this.now - reading;
    return false;
  }

  /** Converts a time of the broker to the reading that the host's clock has then. */
  toHost(time: Millis): Millis {
    return (time - this.#behind) as Millis;
  }
}
