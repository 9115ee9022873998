/** An event loop of the web's own interfaces, which every runtime has, and what runtimes without Node share. */
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

/** The heap of the process and what it refers to outside, in bytes, on Node, Bun and Deno. */
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

/** In a time that does not tell where they differ. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ (b[i] ?? 0);
  return difference === 0;
}

/** The subprotocol that is answered: the client's first that is MQTT [MQTT311-6.0.0-4]; null: it offers none of ours. */
export function chosenProtocol(offered: string | null): string | null {
  for (const protocol of (offered ?? "").split(/\s*,\s*/)) {
    if (PROTOCOLS.has(protocol)) return protocol;
  }
  return null;
}

const PROTOCOLS: ReadonlySet<string> = new Set(["mqtt", "mqttv3.1.1", "mqttv3.1"]);
