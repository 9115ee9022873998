/**
 * Replies that wait for a commit, in the order in which they are due.
 *
 * A reply leaves when every write it depends on is durable, and never before an earlier reply, so
 * that acknowledgements keep the order of the packets they acknowledge (compare [MQTT311-4.6.0-2]).
 */
import { PairRing } from "../base/ring.ts";
import type { Seq } from "../boundary.ts";

export class CommitGate {
  readonly #waiting = new PairRing();

  get count(): number {
    return this.#waiting.count;
  }

  /** `reply` waits for `seq`, which is at least that of the previous reply. */
  push(seq: Seq, reply: number): void {
    this.#waiting.push(seq >>> 0, reply);
  }

  /** How many of the waiting replies equal `reply`. */
  countOf(reply: number): number {
    let count = 0;
    for (let i = 0; i < this.#waiting.count; i++) {
      if (this.#waiting.secondAt(i) === reply) count++;
    }
    return count;
  }

  /** The next reply whose writes are durable up to `committed`, or 0. */
  shiftCommitted(committed: Seq): number {
    if (this.#waiting.count === 0) return 0;
    // Compares the low 32 bits by their distance, because they may wrap around.
    if (((this.#waiting.first() - committed) | 0) > 0) return 0;
    const reply = this.#waiting.second();
    this.#waiting.drop();
    return reply;
  }
}
