/** What a runtime supplies to the driver, and what the driver supplies to a transport. */
import type { CloseCause, ConnId, ConnInfo, Effect, Millis, OutBuffer } from "../core/mod.ts";

/** One transport, as the driver writes to it and ends it. */
export interface HostSocket {
  /**
   * Writes `out.bytes[0, out.length)`, then `out.tail`. False: not all of it was taken at once; the
   * socket then keeps `out.bytes` until it was, puts another buffer in its place, and calls
   * `Driver.writable` when it takes more.
   */
  write(out: OutBuffer): boolean;
  /** Reads on after it was told to stop. */
  resume(): void;
  /** Ends the transport once what was written has gone out. */
  close(reason: number): void;
  /** Ends it now. */
  abort(): void;
}

/** What a transport tells of itself: the driver, or what stands between the two. */
export interface TransportHost {
  /** It was opened. NO_CONN: it is refused. */
  open(socket: HostSocket, info: ConnInfo): ConnId;
  /** `chunk` is lent. False: no more until `HostSocket.resume`. */
  bytes(conn: ConnId, chunk: Uint8Array): boolean;
  /** It takes more bytes, or does not. */
  writable(conn: ConnId, writable: boolean): void;
  /** The peer writes no more, and may still read: `HostSocket.close` is called once it is owed nothing. */
  ended(conn: ConnId): void;
  /** It is gone: said once for each that was opened. */
  closed(conn: ConnId, cause: CloseCause): void;
}

/** One that a program's own clients tell something at any time: also a policy, which the core waits for. */
export interface DeferringHost extends TransportHost {
  /** Calls `what`, which may tell it something: at once, or when the core has returned from its call. In order. */
  whenFree(what: () => void): void;
}

/** The event loop: its clock, its next turn, its alarm. */
export interface HostLoop {
  /** Whole milliseconds on a clock that should not go back: where it does, the broker's time stands still. */
  now(): Millis;
  /** Calls `turn` once what is ready to be read has been read. */
  schedule(turn: () => void): void;
  /** Calls `alarm` in `delayMillis`; returns what `clearAlarm` takes. */
  setAlarm(alarm: () => void, delayMillis: number): unknown;
  clearAlarm(handle: unknown): void;
}

/** The one record that effects are polled into. */
export function emptyEffect(): Effect {
  return { kind: 0, conn: 0 as ConnId, reason: 0, request: null };
}
