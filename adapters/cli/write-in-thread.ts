/**
 * Writes to standard error on Deno before the process ends: a worker writes, and the current turn waits for it, but not for long.
 *
 * A write in this thread would last until the reader reads, which may be never: a terminal whose output is stopped, or a pipe that
 * nobody reads. A worker needs no permission.
 */

/** Returns the number of bytes if all were written. Throws if the reader has not taken them after `waitMillisMax`. */
export function writeInThread(bytes: Uint8Array, waitMillisMax: number): number {
  const state = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const { Worker } = globalThis as unknown as { readonly Worker: DenoWorker };
  const worker = new Worker(`data:application/javascript,${encodeURIComponent(PROGRAM)}`, {
    type: "module",
  });
  worker.postMessage({ bytes, state });
  Atomics.wait(state, 0, STARTING, START_MILLIS_MAX);
  Atomics.wait(state, 0, WRITING, waitMillisMax);
  if (Atomics.load(state, 0) !== WRITTEN) throw new Error("standard error is not read");
  worker.terminate();
  return bytes.length;
}

interface DenoWorker {
  new (
    url: string,
    options: { readonly type: "module" },
  ): { postMessage(message: object): void; terminate(): void };
}

const STARTING = 0;
const WRITING = 1;
const WRITTEN = 2;
const PROGRAM = `onmessage = ({ data: { bytes, state } }) => {
  const enter = (next) => {
    Atomics.store(state, 0, next);
    Atomics.notify(state, 0);
  };
  enter(${WRITING});
  for (let at = 0; at < bytes.length; ) at += Deno.stderr.writeSync(bytes.subarray(at));
  enter(${WRITTEN});
};`;
/** A worker starts in 40 ms, but later on a busy machine. */
const START_MILLIS_MAX = 5000;
