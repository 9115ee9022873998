/** Limits the log lines per minute about each client, so that no client fills the log. */
import { setTimeout } from "../captured.ts";

export class RateLimit {
  /** The number of lines in this minute, by key; the key that was used last is the last one. */
  readonly #counts = new Map<string, number>();
  /** The number of lines in this minute about all keys. */
  #lineCount = 0;
  #leftOutCount = 0;
  #isCounting = false;
  readonly #reportLeftOut: (count: number) => void;
  readonly #setTimer: typeof setTimeout;

  /** `reportLeftOut` is called at the end of a minute in which lines were left out. */
  constructor(reportLeftOut: (count: number) => void, setTimer: typeof setTimeout = setTimeout) {
    this.#reportLeftOut = reportLeftOut;
    this.#setTimer = setTimer;
  }

  /** Whether one more line may be written about `key`. */
  allows(key: string): boolean {
    if (!this.#isCounting) this.#setTimer(() => this.#handleMinute(), WINDOW_MILLIS);
    this.#isCounting = true;
    const count = this.#counts.get(key) ?? 0;
    this.#counts.delete(key);
    if (this.#counts.size === KEYS_MAX) this.#forgetOldest();
    const isAllowed = count < LINES_PER_KEY_MAX && this.#lineCount < LINES_MAX;
    this.#counts.set(key, isAllowed ? count + 1 : count);
    if (isAllowed) this.#lineCount++;
    else this.#leftOutCount++;
    return isAllowed;
  }

  /** Reports how many lines were left out until now, for a process that is about to end. */
  end(): void {
    const count = this.#leftOutCount;
    this.#leftOutCount = 0;
    if (count > 0) this.#reportLeftOut(count);
  }

  /** A client whose key is forgotten may have ten more lines, within the maximum for all keys. */
  #forgetOldest(): void {
    for (const key of this.#counts.keys()) {
      this.#counts.delete(key);
      return;
    }
  }

  #handleMinute(): void {
    this.#isCounting = false;
    this.#counts.clear();
    this.#lineCount = 0;
    this.end();
  }
}

const WINDOW_MILLIS = 60_000;
const LINES_PER_KEY_MAX = 10;
const KEYS_MAX = 10_000;
/** A peer that changes its client identifier for each connection must not fill the log. */
const LINES_MAX = 20_000;
