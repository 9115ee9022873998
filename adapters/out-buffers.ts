/** The buffers that packets are written from, used again once a write is done with them. */
import type { OutBuffer } from "../core/mod.ts";

export class OutBuffers {
  readonly #spare: Uint8Array[] = [];

  outBuffer(): OutBuffer {
    return { bytes: this.take(), length: 0, tail: null };
  }

  /** A buffer to encode into, used before or new. */
  take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(OUT_BYTES);
  }

  /** Gives back a buffer whose bytes have gone out. */
  give(buffer: Uint8Array): void {
    if (this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
  }
}

/** How long a peer may take to close after we did. */
export const CLOSE_MILLIS = 2000;
const OUT_BYTES = 65_536;
const SPARE_MAX = 64;
