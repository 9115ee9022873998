/**
 * The clock and the timers of the host, taken when this module loads.
 *
 * Test frameworks replace the globals (`vi.useFakeTimers`, `jest.useFakeTimers`, sinon, node:test), often while a
 * broker runs. A broker that called the replacements would stop with them, and its time would jump. Therefore adapters
 * import these functions, and the linter forbids the globals.
 */

/** The result of `setTimeout`: a number or an object, depending on the host. */
export type Timer = number | object;

interface HostGlobals {
  setTimeout(run: () => void, delayMillis: number): Timer;
  clearTimeout(timer: Timer | undefined): void;
  setImmediate?(run: () => void): unknown;
  queueMicrotask(run: () => void): void;
}

const host = globalThis as unknown as HostGlobals;

export const setTimeout: HostGlobals["setTimeout"] = host.setTimeout;
export const clearTimeout: HostGlobals["clearTimeout"] = host.clearTimeout;
export const queueMicrotask: HostGlobals["queueMicrotask"] = host.queueMicrotask;

/** Milliseconds of the clock that measures durations. */
export const monotonicMillis: () => number = performance.now.bind(performance);

/** Unix time in milliseconds, from the wall clock. */
export const unixMillis: () => number = Date.now;

const HostDate = Date;

/** Formats Unix time in milliseconds: ISO 8601, in UTC. */
export function isoTime(millis: number): string {
  return new HostDate(millis).toISOString();
}

/** Unix time in milliseconds of a text that `isoTime` may have written; NaN: it is none. */
export function millisOfIsoTime(text: string): number {
  const isIso = /^([+-]\d\d)?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(text);
  return isIso ? HostDate.parse(text) : Number.NaN;
}

/** Calls `turn` after the waiting input has been handled. */
export const afterInput: (turn: () => void) => void = immediate();

/** Browsers have no setImmediate, and their timers wait longer than one turn. */
function immediate(): (turn: () => void) => void {
  const { setImmediate } = host;
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
