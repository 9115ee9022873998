/**
 * Writes the log to standard error. A line is written after its turn of the event loop; lines that follow within a few
 * milliseconds are collected and written together. A reader that is slow or gone never delays the broker: beyond a maximum,
 * lines are left out and counted, and a line tells the count as soon as the reader continues.
 */
import { afterInput, clearTimeout, monotonicMillis, setTimeout, type Timer } from "../captured.ts";

/** A destination of bytes. Both functions return how many bytes were written, and throw if none can be written. */
export interface LogSink {
  /** Does not block: returns a promise if it has to wait for the reader. */
  write(bytes: Uint8Array): number | Promise<number>;
  /** Writes before the process ends. May wait for the reader, but at most `waitMillisMax`. */
  writeNow(bytes: Uint8Array, waitMillisMax: number): number;
}

export class LogOutput {
  readonly #sink: LogSink;
  /** Makes the line that tells how many lines were left out. */
  readonly #lossLine: (count: number) => string;
  /** Waiting lines, and in `#rest` the unwritten bytes of the current write. */
  #text = "";
  #rest: Uint8Array = NO_BYTES;
  #lostCount = 0;
  /** When the current write began; -1: no write is under way. */
  #writingSince = -1;
  /** Earliest time of the next write: a write costs more than a line. */
  #writesAt = 0;
  #timer: Timer | null = null;
  #isScheduled = false;
  /** True: further lines are ignored. */
  #isEnding = false;
  #hasEnded = false;
  #handleDrained: (() => void) | null = null;

  constructor(sink: LogSink, lossLine: (count: number) => string) {
    this.#sink = sink;
    this.#lossLine = lossLine;
  }

  /** Adds a line, which is written after this turn. Beyond the maximum it adds only the last line of all (`isLast`). */
  push(line: string, isLast = false): void {
    if (this.#isEnding) return;
    const waiting = this.#text.length + this.#rest.length + line.length;
    if (waiting > WAITING_MAX && !isLast) this.#lostCount++;
    else this.#text += line;
    this.#schedule();
  }

  /**
   * Writes all lines at once, for a process that is about to end. Waits for a slow reader, but not for long; false: it did not
   * take everything, and further lines are ignored.
   */
  flush(): boolean {
    if (this.#hasEnded) return true;
    this.#hasEnded = !this.#writeAll();
    return !this.#hasEnded;
  }

  #writeAll(): boolean {
    if (this.#writingSince >= 0) {
      // The reader does not read, and waiting for it would keep the process alive.
      if (monotonicMillis() - this.#writingSince > FLUSH_MILLIS_MAX) return false;
      // Another thread has begun to write these bytes.
      this.#rest = NO_BYTES;
    }
    const until = monotonicMillis() + FLUSH_MILLIS_MAX;
    while (this.#fill()) {
      try {
        const taken = this.#sink.writeNow(this.#rest, FLUSH_MILLIS_MAX);
        this.#rest = this.#rest.subarray(taken);
      } catch (error) {
        if (!isFull(error) || monotonicMillis() > until) return false;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MILLIS_MIN);
      }
    }
    return true;
  }

  /** Resolves when all lines are written, or after `waitMillisMax`. Further lines are ignored. */
  async end(waitMillisMax: number): Promise<void> {
    this.#isEnding = true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMillisMax);
      this.#handleDrained = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#schedule();
    });
    this.#hasEnded = true;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#writingSince >= 0 || this.#timer !== null) return;
    const delayMillis = this.#isEnding ? 0 : this.#writesAt - monotonicMillis();
    if (delayMillis > 0) {
      this.#writeIn(delayMillis);
      return;
    }
    this.#isScheduled = true;
    afterInput(() => {
      this.#isScheduled = false;
      this.#write();
    });
  }

  #writeIn(delayMillis: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#write();
    }, delayMillis);
  }

  #write(): void {
    if (this.#hasEnded) return;
    if (!this.#fill()) {
      this.#handleDrained?.();
      return;
    }
    try {
      const taken = this.#sink.write(this.#rest);
      if (typeof taken === "number") {
        this.#handleTaken(taken);
        return;
      }
      this.#writingSince = monotonicMillis();
      taken.then(
        (count) => this.#handleTaken(count),
        (error: unknown) => this.#handleFailure(error),
      );
    } catch (error) {
      this.#handleFailure(error);
    }
  }

  /** Encodes the waiting lines if all earlier bytes are written; false: nothing is left to write. */
  #fill(): boolean {
    if (this.#rest.length > 0) return true;
    if (this.#lostCount > 0) {
      this.#text += this.#lossLine(this.#lostCount);
      this.#lostCount = 0;
    }
    this.#rest = encoder.encode(this.#text);
    this.#text = "";
    return this.#rest.length > 0;
  }

  #handleTaken(count: number): void {
    this.#writingSince = -1;
    this.#rest = this.#rest.subarray(count);
    this.#writesAt = this.#rest.length > 0 ? 0 : monotonicMillis() + COLLECT_MILLIS;
    const waiting = this.#rest.length + this.#text.length + this.#lostCount;
    if (waiting > 0 || this.#isEnding) this.#schedule();
  }

  #handleFailure(error: unknown): void {
    this.#writingSince = -1;
    let delay = RETRY_MILLIS_MIN;
    if (!isFull(error)) {
      // There is no reader. With a named pipe, another one may come.
      this.#lostCount += lineCount(this.#rest);
      this.#rest = NO_BYTES;
      delay = RETRY_MILLIS_MAX;
    }
    this.#writeIn(delay);
  }
}

/** Whether the error says that a pipe is full. */
function isFull(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === "EAGAIN";
}

function lineCount(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === NEWLINE) count++;
  return count;
}

const encoder = new TextEncoder();
const NO_BYTES = new Uint8Array(0);
const NEWLINE = 0x0a;
/** Maximum that waits for a reader, in characters and bytes. */
const WAITING_MAX = 1_048_576;
/** How long lines are collected after a write. A process that is killed loses them. */
const COLLECT_MILLIS = 20;
const RETRY_MILLIS_MIN = 10;
const RETRY_MILLIS_MAX = 1000;
/** Maximum time that an ending process waits for the reader of its log. */
export const FLUSH_MILLIS_MAX = 300;
