/**
 * What stands between the log and standard error: lines are gathered and written together once a turn of the event
 * loop, and a reader that is slow, or gone, makes nobody wait. Beyond a bound lines are left out and counted, and the
 * count is told as soon as there is a reader again.
 */
import { afterInput, clearTimeout, monotonicMillis, setTimeout, type Timer } from "../captured.ts";

/** Where bytes go. Both functions return how many were taken, and throw where none can be. */
export interface LogSink {
  /** Does not wait for a reader: a promise stands for the wait. */
  write(bytes: Uint8Array): number | Promise<number>;
  /** May wait for what `write` has under way. */
  writeNow(bytes: Uint8Array): number;
}

export class LogOutput {
  readonly #sink: LogSink;
  /** The line that tells how many were left out. */
  readonly #lossLine: (count: number) => string;
  /** Lines that wait, and what is left of those that are being written. */
  #text = "";
  #rest: Uint8Array = NO_BYTES;
  #lostCount = 0;
  /** When the write that is under way began, or -1. */
  #writingSince = -1;
  #retry: Timer | null = null;
  #isScheduled = false;
  /** No more lines are taken. */
  #isEnding = false;
  #hasEnded = false;
  #handleDrained: (() => void) | null = null;

  constructor(sink: LogSink, lossLine: (count: number) => string) {
    this.#sink = sink;
    this.#lossLine = lossLine;
  }

  /** Adds a line, to be written after this turn; beyond the bound only one that is the last of all. */
  push(line: string, isLast = false): void {
    if (this.#isEnding) return;
    const waiting = this.#text.length + this.#rest.length + line.length;
    if (waiting > WAITING_MAX && !isLast) this.#lostCount++;
    else this.#text += line;
    this.#schedule();
  }

  /** Writes everything at once, for a process that is about to end; waits for a slow reader, but not for long. */
  flush(): void {
    if (this.#hasEnded) return;
    if (this.#writingSince >= 0) {
      // The reader takes nothing, and waiting for it would keep the process.
      if (monotonicMillis() - this.#writingSince > FLUSH_MILLIS_MAX) return;
      // It is written before what is written now.
      this.#rest = NO_BYTES;
    }
    const until = monotonicMillis() + FLUSH_MILLIS_MAX;
    while (this.#fill()) {
      try {
        this.#rest = this.#rest.subarray(this.#sink.writeNow(this.#rest));
      } catch (error) {
        if (!isFull(error) || monotonicMillis() > until) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MILLIS_MIN);
      }
    }
  }

  /** Resolves when everything is written, or will not be; takes no more lines. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, FLUSH_MILLIS_MAX);
      this.#handleDrained = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#schedule();
    });
    this.#hasEnded = true;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#writingSince >= 0 || this.#retry !== null) return;
    this.#isScheduled = true;
    afterInput(() => {
      this.#isScheduled = false;
      this.#write();
    });
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

  /** Makes bytes of the lines that wait, where the ones before are written; false where there are none. */
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
    this.#schedule();
  }

  #handleFailure(error: unknown): void {
    this.#writingSince = -1;
    let delay = RETRY_MILLIS_MIN;
    if (!isFull(error)) {
      // Nobody reads. Another reader may come, to a named pipe.
      this.#lostCount += lineCount(this.#rest);
      this.#rest = NO_BYTES;
      delay = RETRY_MILLIS_MAX;
    }
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#write();
    }, delay);
  }
}

/** Whether a pipe has no room now. */
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
/** Most that waits for a reader, in characters and bytes. */
const WAITING_MAX = 1_048_576;
const RETRY_MILLIS_MIN = 10;
const RETRY_MILLIS_MAX = 1000;
/** Longest that a process which ends waits for the reader of its log. */
const FLUSH_MILLIS_MAX = 300;
