/**
 * QoS 0 packets as they were written last, so that the next subscriber who is owed the same messages is
 * given a copy of the bytes: comparing what is owed costs a fraction of writing it.
 *
 * A run is what one subscriber was owed, from the first message on. Runs are found by their first message,
 * and only messages that somebody else is owed too are worth one.
 */
import type { MessagePool, MessageSlot } from "./message-pool.ts";

export class EncodedBatches {
  readonly #messages: MessagePool;
  readonly #batches: (EncodedBatch | null)[] = new Array<EncodedBatch | null>(BATCHES).fill(null);

  constructor(messages: MessagePool) {
    this.#messages = messages;
  }

  /** Where a run that begins with `first` is, or is to be; null where `first` is owed to nobody else. */
  at(first: MessageSlot): EncodedBatch | null {
    if (this.#messages.references(first) < 2) return null;
    const index = this.#messages.serial(first) % BATCHES;
    const known = this.#batches[index] ?? new EncodedBatch();
    this.#batches[index] = known;
    return known;
  }
}

export class EncodedBatch {
  /** How many messages, up to `RUN_MESSAGES_MAX`. */
  count = 0;
  /** Their packets, one after the other: message `n` ends at `ends[n]`. */
  bytes: Uint8Array = new Uint8Array(1024);
  readonly ends: Uint32Array = new Uint32Array(BATCH_MESSAGES_MAX);
  /** Number of each message, which no other ever has, and how it was delivered. */
  readonly #serials = new Float64Array(BATCH_MESSAGES_MAX);
  readonly #deliveries = new Uint8Array(BATCH_MESSAGES_MAX);

  /** Whether message `n` is the one numbered `serial`, delivered the same way. */
  matches(n: number, serial: number, delivery: number): boolean {
    return this.#serials[n] === serial && this.#deliveries[n] === delivery;
  }

  /** Forgets what was there; `push` then says what was written, and `finish` where. */
  begin(): void {
    this.count = 0;
  }

  /** A packet was written that ends `end` bytes after where the run began. */
  push(serial: number, delivery: number, end: number): void {
    this.#serials[this.count] = serial;
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

const BATCHES = 8;
export const BATCH_MESSAGES_MAX = 1024;
