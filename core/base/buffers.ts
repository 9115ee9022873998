/**
 * Large buffers that are used again. A fresh one costs the garbage collector a share of a full collection
 * and the processor its cache, which for payloads of 64 KiB is a third of all there is to do.
 */
export class BufferPool {
  readonly #allocate: (byteCount: number) => Uint8Array;
  /** Spare buffers by their length. */
  #spare = new Map<number, Uint8Array[]>();
  #spareBytes = 0;

  /** `allocate` makes a buffer with an ArrayBuffer of its own, whose contents do not matter. */
  constructor(allocate: (byteCount: number) => Uint8Array) {
    this.#allocate = allocate;
  }

  /** A buffer of at least `byteCount` bytes, with whatever in it. */
  acquire(byteCount: number): Uint8Array {
    if (byteCount < POOLED_BYTES_MIN) return this.#allocate(byteCount);
    const length = Math.ceil(byteCount / STEP_BYTES) * STEP_BYTES;
    const buffer = this.#spare.get(length)?.pop();
    if (buffer === undefined) return this.#allocate(length);
    this.#spareBytes -= length;
    return buffer;
  }

  /** Takes back a buffer that nobody reads or writes any more. */
  release(buffer: Uint8Array): void {
    const { length } = buffer;
    if (length < POOLED_BYTES_MIN || length % STEP_BYTES !== 0) return;
    // Full of lengths that are not asked for: it starts anew.
    if (this.#spareBytes + length > SPARE_BYTES_MAX) {
      this.#spare = new Map();
      this.#spareBytes = 0;
    }
    const spare = this.#spare.get(length);
    if (spare === undefined) this.#spare.set(length, [buffer]);
    else spare.push(buffer);
    this.#spareBytes += length;
  }

  /** Somebody still reads what has been given back: it is not to be used again. */
  remove(buffer: Uint8Array): void {
    const spare = this.#spare.get(buffer.length);
    const index = spare?.lastIndexOf(buffer) ?? -1;
    if (index < 0) return;
    spare!.splice(index, 1);
    this.#spareBytes -= buffer.length;
  }
}

const POOLED_BYTES_MIN = 8192;
const STEP_BYTES = 4096;
const SPARE_BYTES_MAX = 8 * 1024 * 1024;
