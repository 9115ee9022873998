/**
 * A pool of large buffers, to reuse them. A fresh buffer costs a share of a full garbage collection
 * and evicts the processor's cache; with payloads of 64 KiB that is a third of all work.
 */
export class BufferPool {
  readonly #allocate: (byteCount: number) => Uint8Array;
  /** Spare buffers, by length. */
  #spare = new Map<number, Uint8Array[]>();
  #spareBytes = 0;

  /** `allocate` makes a buffer that fills its own ArrayBuffer; its contents do not matter. */
  constructor(allocate: (byteCount: number) => Uint8Array) {
    this.#allocate = allocate;
  }

  /** Returns a buffer of at least `byteCount` bytes with arbitrary contents. */
  acquire(byteCount: number): Uint8Array {
    if (byteCount < POOLED_BYTES_MIN) return this.#allocate(byteCount);
    const length = Math.ceil(byteCount / BUFFER_STEP_BYTES) * BUFFER_STEP_BYTES;
    const buffer = this.#spare.get(length)?.pop();
    if (buffer === undefined) return this.#allocate(length);
    this.#spareBytes -= length;
    return buffer;
  }

  /** Takes back a buffer that no code reads or writes any more. */
  release(buffer: Uint8Array): void {
    const { length } = buffer;
    if (length < POOLED_BYTES_MIN || length % BUFFER_STEP_BYTES !== 0) return;
    // The pool is full of lengths that are no longer requested: start anew.
    if (this.#spareBytes + length > SPARE_BYTES_MAX) {
      this.#spare = new Map();
      this.#spareBytes = 0;
    }
    const spare = this.#spare.get(length);
    if (spare === undefined) this.#spare.set(length, [buffer]);
    else spare.push(buffer);
    this.#spareBytes += length;
  }

  /** Removes a released buffer from the pool, because other code still reads it. */
  remove(buffer: Uint8Array): void {
    const spare = this.#spare.get(buffer.length);
    const index = spare?.lastIndexOf(buffer) ?? -1;
    if (index < 0) return;
    spare!.splice(index, 1);
    this.#spareBytes -= buffer.length;
  }
}

const POOLED_BYTES_MIN = 8192;
/** Lengths of pooled buffers are multiples of this. */
export const BUFFER_STEP_BYTES = 4096;
const SPARE_BYTES_MAX = 8 * 1024 * 1024;
