/**
 * Answers that wait for a commit, in the order in which they are due.
 *
 * An answer leaves when everything that it promises is durable, and never before an earlier one, so that
 * acknowledgements keep the order of what they acknowledge (compare [MQTT311-4.6.0-2]).
 */
import { PairRing } from "../base/ring.ts";
import type { Seq } from "../boundary.ts";

export class CommitGate {
  readonly #waiting = new PairRing();

  get count(): number {
    return this.#waiting.count;
  }

  /** `answer` waits for `seq`, which is not smaller than that of the one before. */
  push(seq: Seq, answer: number): void {
    this.#waiting.push(seq >>> 0, answer);
  }

  /** How many that wait are `answer`. */
  countOf(answer: number): number {
    let count = 0;
    for (let i = 0; i < this.#waiting.count; i++) {
      if (this.#waiting.secondAt(i) === answer) count++;
    }
    return count;
  }

  /** The next answer whose writes are durable up to `committed`, or 0. */
  shiftCommitted(committed: Seq): number {
    if (this.#waiting.count === 0) return 0;
    // Numbers are compared by their low 32 bits, as a distance, so that they may wrap around.
    if (((this.#waiting.first() - committed) | 0) > 0) return 0;
    const answer = this.#waiting.second();
    this.#waiting.drop();
    return answer;
  }
}
