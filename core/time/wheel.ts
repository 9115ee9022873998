/**
 * A hashed timing wheel. The caller names its timers by small integers.
 *
 * All timers whose deadlines fall into one tick (16 ms) share a bucket. A round over all buckets
 * takes about a minute; timers that are due in a later round stay in their bucket. Setting and
 * cancelling cost the same at any number of timers. A timer that is usually postponed, such as a
 * keep alive, is not moved: it fires, and the caller sets it again.
 */
import { assert } from "../base/assert.ts";
import { grownF64, grownI32 } from "../base/columns.ts";
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";

export class TimingWheel {
  /** First timer of each bucket, or -1. */
  readonly #heads = new Int32Array(BUCKETS).fill(-1);
  /** One bit per bucket: set while the bucket has timers. */
  readonly #occupied = new Int32Array(BUCKETS / 32);
  #next: Int32Array = new Int32Array(0);
  #previous: Int32Array = new Int32Array(0);
  #deadlines: Float64Array = new Float64Array(0);
  #count = 0;
  /** All timers due before this tick have been returned by `poll`. */
  #tick = 0;

  isSet(timer: number): boolean {
    return timer < this.#deadlines.length && this.#deadlines[timer] !== 0;
  }

  /** When the timer is due. Only valid while the timer is set. */
  deadline(timer: number): Millis {
    return (this.#deadlines[timer]! - 1) as Millis;
  }

  /** Arms a timer, or moves it. NEVER disarms it. `deadline` is not negative. */
  set(timer: number, deadline: Millis): void {
    assert(deadline >= 0, "a deadline is not negative");
    this.cancel(timer);
    if (deadline === NEVER) return;
    this.#grow(timer);
    // Stored plus one, because 0 means that the timer is not set.
    this.#deadlines[timer] = deadline + 1;
    // A timer that is already overdue goes into the bucket that `poll` looks at next.
    const bucket = Math.max(tickOf(deadline), this.#tick) & BUCKET_MASK;
    const head = this.#heads[bucket]!;
    this.#next[timer] = head;
    this.#previous[timer] = -1 - bucket;
    if (head >= 0) this.#previous[head] = timer;
    this.#heads[bucket] = timer;
    this.#occupied[bucket >> 5]! |= 1 << (bucket & 31);
    this.#count++;
  }

  cancel(timer: number): void {
    if (!this.isSet(timer)) return;
    this.#deadlines[timer] = 0;
    this.#count--;
    const next = this.#next[timer]!;
    const previous = this.#previous[timer]!;
    if (next >= 0) this.#previous[next] = previous;
    if (previous >= 0) {
      this.#next[previous] = next;
      return;
    }
    const bucket = -1 - previous;
    this.#heads[bucket] = next;
    if (next < 0) this.#occupied[bucket >> 5]! &= ~(1 << (bucket & 31));
  }

  /** Returns a timer whose deadline is at most `now` and disarms it; -1 if there is none. */
  poll(now: Millis): number {
    if (this.#count === 0) {
      this.#tick = Math.max(this.#tick, tickOf(now));
      return -1;
    }
    const last = tickOf(now);
    // After a long pause, one round visits every bucket.
    if (last - this.#tick >= BUCKETS) this.#tick = last - BUCKETS + 1;
    for (;;) {
      for (let timer = this.#heads[this.#tick & BUCKET_MASK]!; timer >= 0; ) {
        if (this.deadline(timer) <= now) {
          this.cancel(timer);
          return timer;
        }
        timer = this.#next[timer]!;
      }
      if (this.#tick >= last) return -1;
      const isWordEmpty = this.#occupied[(this.#tick & BUCKET_MASK) >> 5] === 0;
      const step = isWordEmpty ? 32 - (this.#tick & 31) : 1;
      this.#tick = Math.min(last, this.#tick + step);
    }
  }

  /**
   * When `poll` may next return a timer: never later than the earliest deadline; possibly earlier,
   * but always later than the last poll that returned none. NEVER while no timer is set.
   */
  next(): Millis {
    if (this.#count === 0) return NEVER;
    for (let i = 0; i <= BUCKETS; i++) {
      const tick = this.#tick + i;
      const bucket = tick & BUCKET_MASK;
      if (this.#occupied[bucket >> 5] === 0 && (bucket & 31) === 0) {
        i += 31;
        continue;
      }
      if (this.#heads[bucket]! < 0) continue;
      if (i > 0) return (tick * TICK_MILLIS) as Millis;
      // For the current tick, the exact deadline: a caller that waits until then makes progress.
      const earliest = this.#earliest(bucket);
      if (tickOf(earliest) <= tick) return earliest;
    }
    // All timers are at least one round away.
    return ((this.#tick + BUCKETS) * TICK_MILLIS) as Millis;
  }

  #earliest(bucket: number): Millis {
    let earliest: Millis = NEVER;
    for (let timer = this.#heads[bucket]!; timer >= 0; timer = this.#next[timer]!) {
      earliest = Math.min(earliest, this.deadline(timer)) as Millis;
    }
    return earliest;
  }

  #grow(timer: number): void {
    if (timer < this.#deadlines.length) return;
    this.#deadlines = grownF64(this.#deadlines, timer);
    this.#next = grownI32(this.#next, timer);
    this.#previous = grownI32(this.#previous, timer);
  }
}

const TICK_MILLIS = 16;
const BUCKETS = 4096;
const BUCKET_MASK = BUCKETS - 1;

function tickOf(time: Millis): number {
  return Math.floor(time / TICK_MILLIS);
}
