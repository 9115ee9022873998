/**
 * The broker's time: the host's clock, made steady.
 *
 * A host's clock should not go back, but a test framework can fake it and restore it later. The broker's time then
 * stands still for that one call and goes on at the pace of the host's clock, so that no deadline waits until the
 * host's clock has caught up. When the host's clock leaps back to where it would have been without the fake,
 * the broker's time follows it, so that no deadline comes early either.
 */
import { assert } from "../base/assert.ts";
import type { Millis } from "../boundary.ts";

export class SteadyClock {
  /** The broker's time. */
  now: Millis = 0 as Millis;
  /** How far the host's clock is behind the broker's time. */
  #behind = 0;
  /** What the host's clock said last. */
  #told = 0;
  /** The latest time that the host's clock ever said. */
  #latest = 0;

  /** Takes what the host's clock says. False: it went back, and `now` stays as it was. */
  advance(told: Millis): boolean {
    const isCaughtUp = this.#told < this.#latest && told >= this.#latest;
    if (isCaughtUp) this.#behind = Math.max(0, this.now - told);
    this.#told = told;
    if (told > this.#latest) this.#latest = told;
    const now = told + this.#behind;
    if (now >= this.now) {
      this.now = now as Millis;
      return true;
    }
    assert(!Number.isNaN(told), "the host's clock says a number");
    this.#behind = this.now - told;
    return false;
  }

  /** What the host's clock says at this time of the broker. */
  toHost(time: Millis): Millis {
    return (time - this.#behind) as Millis;
  }
}
