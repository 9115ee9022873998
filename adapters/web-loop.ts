/** An event loop of the web's own interfaces, as Bun, Deno and browsers have it, and what they share of a runtime. */
import type { Millis } from "../core/mod.ts";
import type { HostLoop } from "./host.ts";

/** Calls `turn` once what waits has been done: taken as it is now, whatever a test puts in its place later. */
export const afterInput: (turn: () => void) => void = immediate();

export const webLoop: HostLoop = {
  // Whole milliseconds: a small integer costs less to keep than a fraction.
  now: () => Math.floor(performance.now()) as Millis,
  schedule: afterInput,
  setAlarm: (alarm, delayMillis) => setTimeout(alarm, delayMillis),
  clearAlarm: (handle) => clearTimeout(handle as number | undefined),
};

/** Browsers have no setImmediate, and their timers wait longer than a turn. */
function immediate(): (turn: () => void) => void {
  const { setImmediate } = globalThis as { setImmediate?: (turn: () => void) => unknown };
  if (setImmediate !== undefined) return (turn) => void setImmediate(turn);
  const { port1, port2 } = new MessageChannel() as unknown as {
    readonly port1: { onmessage: () => void };
    readonly port2: { postMessage(message: null): void };
  };
  const turns: (() => void)[] = [];
  port1.onmessage = () => turns.shift()?.();
  return (turn) => {
    turns.push(turn);
    port2.postMessage(null);
  };
}

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
