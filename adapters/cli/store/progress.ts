/** A line on a terminal that shows how far a command is. Anywhere else it shows nothing. */
import { monotonicMillis } from "../../captured.ts";

/** The part of `process.stderr` that is used. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Progress {
  readonly #output: ProgressOutput | null;
  readonly #what: string;
  readonly #total: number;
  readonly #startedAt = monotonicMillis();
  #shownAt = this.#startedAt;
  #isShown = false;
  #done = 0;

  /** `total`: the number of steps; 0: it is not known. */
  constructor(what: string, total: number, output: ProgressOutput = process.stderr) {
    this.#output = output.isTTY === true ? output : null;
    this.#what = what;
    this.#total = total;
  }

  add(count = 1): void {
    this.set(this.#done + count);
  }

  set(done: number): void {
    this.#done = done;
    // The clock is not read for each record.
    if (this.#output === null || (done & 0xff) !== 0) return;
    this.show();
  }

  /** Shows the line, unless it was shown a moment ago. */
  show(): void {
    const now = monotonicMillis();
    if (this.#output === null || now - this.#shownAt < SHOWN_EVERY_MILLIS) return;
    this.#shownAt = now;
    this.#isShown = true;
    const seconds = Math.round((now - this.#startedAt) / 1000);
    this.#output.write(`\r${this.#what} ${this.#amount()} ${seconds} s${ERASE_TO_END}`);
  }

  /** Removes the line. */
  end(): void {
    if (this.#isShown) this.#output!.write(`\r${ERASE_TO_END}`);
    this.#isShown = false;
  }

  #amount(): string {
    if (this.#total === 0) return String(this.#done);
    const share = Math.min(1, this.#done / this.#total);
    const filled = Math.floor(share * BAR_WIDTH);
    const bar = `${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}`;
    return `[${bar}] ${Math.floor(share * 100)}%`;
  }
}

const BAR_WIDTH = 30;
const SHOWN_EVERY_MILLIS = 100;
const ERASE_TO_END = "\u001b[K";
