/**
 * Recently encoded QoS 0 packets, for the next subscriber with the same messages: comparing the
 * messages and copying the bytes costs a fraction of encoding them again.
 *
 * A batch holds the packets that were encoded for one subscriber, in order. It is found by its
 * first message. A message that has no other receiver starts no batch.
 */
import type { MessagePool, MessageSlot } from "./message-pool.ts";

export class EncodedBatches {
  readonly #messages: MessagePool;
  readonly #batches: (EncodedBatch | null)[] = new Array<EncodedBatch | null>(BATCHES).fill(null);

  constructor(messages: MessagePool) {
    this.#messages = messages;
  }

  /** The place of the batch that begins with `first`; null if `first` has no other receiver. */
  at(first: MessageSlot): EncodedBatch | null {
    if (this.#messages.references(first) < 2) return null;
    const index = this.#messages.serial(first) % BATCHES;
    const known = this.#batches[index] ?? new EncodedBatch();
    this.#batches[index] = known;
    return known;
  }
}

export class EncodedBatch {
  /** The number of messages, at most `BATCH_MESSAGES_MAX`. */
  count = 0;
  /** Their packets, concatenated: the packet of message `n` ends at `ends[n]`. */
  bytes: Uint8Array = new Uint8Array(1024);
  readonly ends: Uint32Array = new Uint32Array(BATCH_MESSAGES_MAX);
  /** The serial of each message, which is unique, and its delivery flags. */
  readonly #serials = new Float64Array(BATCH_MESSAGES_MAX);
  readonly #deliveries = new Uint8Array(BATCH_MESSAGES_MAX);

  /** Whether message `n` has this serial and these delivery flags. */
  matches(n: number, serial: number, delivery: number): boolean {
    return this.#serials[n] === serial && this.#deliveries[n] === delivery;
  }

  /** Starts a new batch. `push` then adds each packet, and `finish` copies their bytes. */
  begin(): void {
    this.count = 0;
  }

  /** Adds a packet that was written; it ends `end` bytes after the start of the batch. */
  push(serial: number, delivery: number, end: number): void {
    this.#serials[this.count] = serial;
    this.#deliveries[this.count] = delivery;
    this.ends[this.count] = end;
    this.count++;
  }

  /** Copies the pushed packets, whose bytes begin at `start`. */
  finish(from: Uint8Array, start: number): void {
    if (this.count === 0) return;
    const length = this.ends[this.count - 1]!;
    if (length > this.bytes.length) this.bytes = new Uint8Array(length * 2);
    this.bytes.set(from.subarray(start, start + length));
  }
}

const BATCHES = 8;
export const BATCH_MESSAGES_MAX = 1024;
