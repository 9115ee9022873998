/** The buffers that packets are written from on Node. */
import type { OutBuffer } from "../../core/mod.ts";

export function outBuffer(): OutBuffer {
  return { bytes: takeBuffer(), length: 0, tail: null };
}

/** A buffer to encode into, used before or new. */
export function takeBuffer(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(OUT_BYTES);
}

/** Gives back a buffer whose bytes have gone out. */
export function giveBuffer(buffer: Buffer): void {
  if (spare.length < SPARE_MAX) spare.push(buffer);
}

/** How long a peer may take to close after we did. */
export const CLOSE_MILLIS = 2000;
const OUT_BYTES = 65_536;
const SPARE_MAX = 64;
const spare: Buffer[] = [];
