/** Node's event loop, and the buffers that packets are written from. */
import type { Millis, OutBuffer } from "../../core/mod.ts";
import type { HostLoop } from "../host.ts";

export const nodeLoop: HostLoop = {
  // Whole milliseconds: a small integer costs less to keep than a fraction.
  now: () => Math.floor(performance.now()) as Millis,
  schedule: (turn) => void setImmediate(turn),
  setAlarm: (alarm, delayMillis) => setTimeout(alarm, delayMillis),
  clearAlarm: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};

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
