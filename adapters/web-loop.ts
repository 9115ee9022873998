/** An event loop on web interfaces, which every runtime has, and other code that all runtimes except Node share. */
import type { Millis } from "../core/mod.ts";
import type { Timer } from "./captured.ts";
import { afterInput, clearTimeout, monotonicMillis, setTimeout } from "./captured.ts";
import type { HostLoop } from "./host.ts";

export const webLoop: HostLoop = {
  // Whole milliseconds: a small integer costs less to keep than a fraction.
  now: () => Math.floor(monotonicMillis()) as Millis,
  schedule: afterInput,
  setAlarm: (alarm, delayMillis) => setTimeout(alarm, delayMillis),
  clearAlarm: (handle) => clearTimeout(handle as Timer | undefined),
};

/** The heap of the process and the memory outside it that it refers to, in bytes, on Node, Bun and Deno. */
export function memoryBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
const { process } = globalThis as unknown as {
  readonly process: { memoryUsage(): { readonly heapUsed: number; readonly external: number } };
};

export function webEntropy(out: Uint8Array): void {
  crypto.getRandomValues(out as Uint8Array<ArrayBuffer>);
}

/** Compares in a time that does not depend on where the bytes differ. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ (b[i] ?? 0);
  return difference === 0;
}

/** The subprotocol for the response: the first offered one that is MQTT [MQTT311-6.0.0-4]; null: the client offers none. */
export function chosenProtocol(offered: string | null): string | null {
  for (const protocol of (offered ?? "").split(/\s*,\s*/)) {
    if (PROTOCOLS.has(protocol)) return protocol;
  }
  return null;
}

const PROTOCOLS: ReadonlySet<string> = new Set(["mqtt", "mqttv3.1.1", "mqttv3.1"]);
