/**
 * QoS 0 packets as they were written last, so that the next subscriber who is owed the same messages is
 * given a copy of the bytes: comparing what is owed costs a fraction of writing it.
 *
 * A run is what one subscriber was owed, from the first message on. Runs are found by their first message,
 * and only messages that somebody else is owed too are worth one.
 */
import type { MessagePool, MessageSlot } from "./message-pool.ts";

export class PublishRuns {
  readonly #messages: MessagePool;
  readonly #runs: (PublishRun | null)[] = new Array<PublishRun | null>(RUNS).fill(null);

  constructor(messages: MessagePool) {
    this.#messages = messages;
  }

  /** Where a run that begins with `first` is, or is to be; null where `first` is owed to nobody else. */
  at(first: MessageSlot): PublishRun | null {
    if (this.#messages.references(first) < 2) return null;
    const index = this.#messages.born(first) % RUNS;
    const known = this.#runs[index] ?? new PublishRun();
    this.#runs[index] = known;
    return known;
  }
}

export class PublishRun {
  /** How many messages, up to `RUN_MESSAGES_MAX`. */
  count = 0;
  /** Their packets, one after the other: message `n` ends at `ends[n]`. */
  bytes: Uint8Array = new Uint8Array(1024);
  readonly ends: Uint32Array = new Uint32Array(RUN_MESSAGES_MAX);
  /** Number of each message, which no other ever has, and how it was delivered. */
  readonly #born = new Float64Array(RUN_MESSAGES_MAX);
  readonly #deliveries = new Uint8Array(RUN_MESSAGES_MAX);

  /** Whether message `n` is the one numbered `born`, delivered the same way. */
  is(n: number, born: number, delivery: number): boolean {
    return this.#born[n] === born && this.#deliveries[n] === delivery;
  }

  /** Forgets what was there; `push` then says what was written, and `finish` where. */
  begin(): void {
    this.count = 0;
  }

  /** A packet was written that ends `end` bytes after where the run began. */
  push(born: number, delivery: number, end: number): void {
    this.#born[this.count] = born;
    this.#deliveries[this.count] = delivery;
    this.ends[this.count] = end;
    this.count++;
  }

  /** Copies the packets that were pushed from where the run began. */
  finish(from: Uint8Array, start: number): void {
    if (this.count === 0) return;
    const length = this.ends[this.count - 1]!;
    if (length > this.bytes.length) this.bytes = new Uint8Array(length * 2);
    this.bytes.set(from.subarray(start, start + length));
  }
}

const RUNS = 8;
export const RUN_MESSAGES_MAX = 1024;
