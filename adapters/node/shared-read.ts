/**
 * Reads all sockets of a server into one buffer.
 *
 * For each read of an accepted socket, Node allocates 64 KiB. A client's socket can read into one buffer with the public option
 * `onread`. A server's socket has no such option, but the same internals: this module sets the properties that `onread` would set.
 * It gains a third of the throughput, and a fifth of the processor time at sparse traffic
 * (docs/decisions/0002-shared-read-buffer.md). If any part of the internals is missing, or on another runtime, the caller uses
 * `data` events instead.
 */
import type { Socket } from "node:net";

/** Handles a chunk, which is lent. False stops reading until `Socket.resume`. */
export type OnRead = (socket: Socket, chunk: Uint8Array) => boolean;

/** Makes `socket` read into the shared buffer. False: this Node does not support it. */
export function readShared(socket: Socket, onRead: OnRead): boolean {
  const keys = slots(socket);
  if (keys === null) return false;
  const inner = socket as unknown as Record<symbol, unknown> & { readonly _handle: Handle };
  inner[keys.buffer] = shared;
  inner[keys.callback] = (count: number, buffer: Buffer): boolean => {
    const readsOn = onRead(socket, count === buffer.length ? buffer : buffer.subarray(0, count));
    if (!readsOn) socket.pause();
    return readsOn;
  };
  inner._handle.useUserBuffer(shared);
  return true;
}

interface Handle {
  useUserBuffer(buffer: Buffer): void;
}

interface Keys {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/** The symbols of the properties that `onread` sets, looked up once; null: they are missing. */
function slots(socket: Socket): Keys | null {
  if (found !== undefined) return found;
  const symbols = Object.getOwnPropertySymbols(socket);
  const named = (name: string): symbol | undefined =>
    symbols.find((symbol) => symbol.description === name);
  const buffer = named("kBuffer");
  const callback = named("kBufferCb");
  const handle = (socket as unknown as { readonly _handle?: Partial<Handle> })._handle;
  const canRead = typeof handle?.useUserBuffer === "function" && !("bun" in process.versions);
  found = buffer !== undefined && callback !== undefined && canRead ? { buffer, callback } : null;
  return found;
}

let found: Keys | null | undefined;

/** One buffer for all sockets, because each chunk is handled before the next read. */
const shared: Buffer = Buffer.allocUnsafeSlow(65_536);
