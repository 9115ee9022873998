/** A pool of buffers for output. A buffer is reused when its write is done. */
import type { OutBuffer } from "../core/mod.ts";

export class OutBuffers {
  readonly #allocate: (byteCount: number) => Uint8Array;
  readonly #spare: Uint8Array[] = [];

  constructor(allocate = (byteCount: number): Uint8Array => new Uint8Array(byteCount)) {
    this.#allocate = allocate;
  }

  outBuffer(): OutBuffer {
    return { bytes: this.acquire(), length: 0, tail: null };
  }

  /** A buffer to encode into, reused or new. */
  acquire(): Uint8Array {
    return this.#spare.pop() ?? this.#allocate(OUT_BYTES);
  }

  /** Returns a buffer whose bytes have been sent. */
  release(buffer: Uint8Array): void {
    if (this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
  }
}

const OUT_BYTES = 65_536;
const SPARE_MAX = 64;
