/** The interfaces between a runtime, the driver and a transport. */
import type { CloseCause, ConnId, ConnInfo, Effect, Millis, OutBuffer } from "../core/mod.ts";

/** One transport: the driver writes to it and ends it. */
export interface HostSocket {
  /**
   * Writes `out.bytes[0, out.length)`, then `out.tail`. False: the transport did not take all bytes at once. The
   * socket then keeps `out.bytes` until they are written, puts another buffer in its place, and calls
   * `Driver.writable` when it takes more.
   */
  write(out: OutBuffer): boolean;
  /** Resumes reading. */
  resume(): void;
  /** Ends the transport after all written bytes have been sent. */
  close(reason: number): void;
  /** Ends the transport at once. */
  abort(): void;
}

/** The receiver of a transport's input and events: the driver, or a link in front of it. */
export interface TransportHost {
  /** The transport was opened. NO_CONN: it is refused. */
  open(socket: HostSocket, info: ConnInfo): ConnId;
  /** `chunk` is lent. False: stop reading until `HostSocket.resume`. */
  bytes(conn: ConnId, chunk: Uint8Array): boolean;
  /** The transport takes more bytes, or none for now. */
  writable(conn: ConnId, writable: boolean): void;
  /** The peer writes no more and may still read: the host calls `HostSocket.close` once it has no more output for the peer. */
  ended(conn: ConnId): void;
  /** The transport is gone. Called once for each opened transport. */
  closed(conn: ConnId, cause: CloseCause): void;
}

/** A host for the program's own clients, which may call it at any time, also from a policy within a call of the core. */
export interface DeferringHost extends TransportHost {
  /** Runs `call`, which may call the host: at once, or after the current call of the core. In order. */
  whenFree(call: () => void): void;
}

/** The event loop: its clock, its next turn, its alarm. */
export interface HostLoop {
  /** Whole milliseconds. The clock should not go back; if it does, the broker's time stands still. */
  now(): Millis;
  /** Calls `turn` after all waiting input has been read. */
  schedule(turn: () => void): void;
  /** Calls `alarm` after `delayMillis`; returns a handle for `clearAlarm`. */
  setAlarm(alarm: () => void, delayMillis: number): unknown;
  clearAlarm(handle: unknown): void;
}

/** What a runtime supplies to run a broker. */
export interface Runtime {
  readonly loop: HostLoop;
  readonly out: OutBuffer;
  readonly serverName: string;
  entropy(out: Uint8Array): void;
  /** Unix time, in milliseconds, at zero of the loop's clock. Default: from the host's wall clock. */
  readonly epochMillis?: number;
  /** Allocates memory with arbitrary contents, if that is cheaper than a new Uint8Array. */
  allocate?(byteCount: number): Uint8Array;
  /** The memory of the process, in bytes, if the runtime reports it. */
  memoryBytes?(): number;
  isSame(a: Uint8Array, b: Uint8Array): boolean;
}

/** A record to poll effects into. */
export function emptyEffect(): Effect {
  return { kind: 0, conn: 0 as ConnId, reason: 0, request: null, numbers: null };
}
