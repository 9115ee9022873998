/**
 * Reading every socket of a server into one buffer.
 *
 * Node reads an accepted socket into a fresh 64 KiB allocation each time. A client's socket can be made
 * to read into one buffer (`onread`, public), a server's cannot, though the machinery is the same: this
 * sets what `onread` would. Worth a third of the throughput and a fifth of the processor time at sparse
 * traffic (docs/decisions/0002-shared-read-buffer.md). Where any part of it is missing the caller falls
 * back to the public way, and so does a runtime that only resembles Node.
 */
import type { Socket } from "node:net";

/** Handles what was read; false stops the reading until `Socket.resume`. */
export type OnRead = (socket: Socket, chunk: Uint8Array) => boolean;

/** Makes `socket` read into the shared buffer; false where this Node has no such way. */
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

/** Under which symbols a socket keeps what `onread` sets, looked up once; null where it does not. */
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

/** What is read is handled before the next read: one buffer serves all sockets. */
const shared: Buffer = Buffer.allocUnsafeSlow(65_536);
