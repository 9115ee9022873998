/** A pool of buffers for output. A buffer is reused when its write is done. */
import type { OutBuffer } from "../core/mod.ts";

export class OutBuffers {
  readonly #spare: Uint8Array[] = [];

  outBuffer(): OutBuffer {
    return { bytes: this.take(), length: 0, tail: null };
  }

  /** A buffer to encode into, reused or new. */
  take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(OUT_BYTES);
  }

  /** Returns a buffer whose bytes have been sent. */
  give(buffer: Uint8Array): void {
    if (this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
  }
}

/** Maximum time for a peer to close its side after we closed ours. */
export const CLOSE_MILLIS = 2000;
const OUT_BYTES = 65_536;
const SPARE_MAX = 64;
