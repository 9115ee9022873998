/** Limits the log lines per minute about each client, so that no client fills the log. */
import { setTimeout } from "../captured.ts";

export class RateLimit {
  /** The number of lines in this minute, by key. */
  readonly #counts = new Map<string, number>();
  #leftOutCount = 0;
  readonly #tellLeftOut: (count: number) => void;
  readonly #setTimer: typeof setTimeout;

  /** `tellLeftOut` is called at the end of a minute in which lines were left out. */
  constructor(tellLeftOut: (count: number) => void, setTimer: typeof setTimeout = setTimeout) {
    this.#tellLeftOut = tellLeftOut;
    this.#setTimer = setTimer;
  }

  /** Whether one more line may be written about `key`. */
  allows(key: string): boolean {
    if (this.#counts.size === 0) this.#setTimer(() => this.#handleMinute(), WINDOW_MILLIS);
    // Beyond KEYS_MAX all further keys share one count.
    const known = this.#counts.has(key) || this.#counts.size < KEYS_MAX ? key : "";
    const count = (this.#counts.get(known) ?? 0) + 1;
    this.#counts.set(known, count);
    if (count <= LINES_MAX) return true;
    this.#leftOutCount++;
    return false;
  }

  #handleMinute(): void {
    this.#counts.clear();
    if (this.#leftOutCount > 0) this.#tellLeftOut(this.#leftOutCount);
    this.#leftOutCount = 0;
  }
}

const WINDOW_MILLIS = 60_000;
const LINES_MAX = 10;
const KEYS_MAX = 1000;
