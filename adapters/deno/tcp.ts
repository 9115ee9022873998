/** MQTT over Deno's TCP connections, which are read and written by promises. */
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { connInfo } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket, TransportHost } from "../host.ts";
import type { ListenAddress } from "../listen.ts";
import { CLOSE_MILLIS, type OutBuffers } from "../out-buffers.ts";
import { bracketed, peerAddress } from "../peer-address.ts";
import type { DenoConn } from "./api.ts";
import { deno } from "./api.ts";

export function listenTcp(
  driver: Driver,
  options: ListenAddress,
  buffers: OutBuffers,
): Promise<Listener> {
  const { authority, port, close } = listenConnections(options, buffers, () => driver);
  return Promise.resolve({ addresses: [`tcp://${authority}`], port, close });
}

/** Listens; what comes is told to the host that `hostOf` has for it. */
export function listenConnections(
  { host: hostname, port }: ListenAddress,
  buffers: OutBuffers,
  hostOf: (tcp: TcpConnection) => TransportHost,
): { readonly authority: string; readonly port: number; close(): Promise<void> } {
  const listener = deno.listen({ hostname, port });
  let isOpen = true;
  const acceptAll = async (): Promise<void> => {
    while (isOpen) {
      try {
        accept(await listener.accept(), buffers, hostOf);
      } catch {
        // The listener was closed, one connection ended before it was accepted, or there is no descriptor.
        if (isOpen) await new Promise<void>((resolve) => setTimeout(resolve, ACCEPT_RETRY_MILLIS));
      }
    }
  };
  void acceptAll();
  return {
    authority: `${bracketed(hostname)}:${listener.addr.port}`,
    port: listener.addr.port,
    close: () => {
      isOpen = false;
      listener.close();
      return Promise.resolve();
    },
  };
}

export class TcpConnection implements HostSocket {
  readonly #host: TransportHost;
  readonly #tcp: DenoConn;
  readonly #buffers: OutBuffers;
  #conn: ConnId = NO_CONN;
  #cause: CloseCause = CloseCause.Ended;
  /** What is to be written after what is being written, and the buffer that the first of it lies in. */
  readonly #parts: Uint8Array[] = [];
  #held: Uint8Array | null = null;
  isWriting = false;
  #isEnding = false;
  /** The peer writes no more. */
  #hasPeerEnded = false;
  #isClosed = false;
  #isGone = false;
  /** Goes on reading; null: it was not told to stop. */
  #readOn: (() => void) | null = null;
  #isPaused = false;
  #cutOff: Timer | undefined;

  constructor(tcp: DenoConn, buffers: OutBuffers, hostOf: (tcp: TcpConnection) => TransportHost) {
    this.#tcp = tcp;
    this.#buffers = buffers;
    this.#host = hostOf(this);
  }

  /** Reads until the end, where it is not refused. */
  serve(): void {
    const { hostname, port } = this.#tcp.remoteAddr;
    this.#conn = this.#host.open(this, connInfo("tcp", peerAddress(hostname, port)));
    if (this.#conn === NO_CONN) this.#tcp.close();
    else void this.#read();
  }

  /** The buffer is small until reads fill it: most connections are silent. */
  async #read(): Promise<void> {
    let buffer = new Uint8Array(READ_BYTES_MIN);
    try {
      for (;;) {
        if (this.#isPaused) await new Promise<void>((resolve) => (this.#readOn = resolve));
        const count = await this.#tcp.read(buffer);
        if (this.#isGone) return;
        if (count === null) {
          this.#hasPeerEnded = true;
          break;
        }
        this.#isPaused = !this.#host.bytes(this.#conn, buffer.subarray(0, count));
        if (count === buffer.length && count < READ_BYTES_MAX) buffer = new Uint8Array(count * 4);
      }
    } catch {
      if (this.#cause === CloseCause.Ended) this.#cause = CloseCause.Error;
    }
    if (!this.#hasPeerEnded) this.#gone();
    else if (!this.#isEnding) this.#host.ended(this.#conn);
    else if (!this.isWriting) this.#end();
  }

  /** A write is a promise: it is never whole at once. */
  write(out: OutBuffer): boolean {
    this.#held = out.bytes;
    out.bytes = this.#buffers.take();
    this.send(this.#held.subarray(0, out.length));
    if (out.tail !== null) this.send(out.tail);
    return false;
  }

  /** Writes `part`, which is not touched until the host hears that there is room again. */
  send(part: Uint8Array): void {
    this.#parts.push(part);
    if (!this.isWriting) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.isWriting = true;
    try {
      for (let part = this.#parts.shift(); part !== undefined; part = this.#parts.shift()) {
        for (let at = 0; at < part.length; ) {
          at += await this.#tcp.write(at === 0 ? part : part.subarray(at));
        }
      }
    } catch {
      if (this.#cause === CloseCause.Ended) this.#cause = CloseCause.Error;
      this.#shut();
      return;
    }
    if (this.#held !== null) this.#buffers.give(this.#held);
    this.#held = null;
    this.isWriting = false;
    if (this.#isEnding) this.#end();
    else if (!this.#isGone) this.#host.writable(this.#conn, true);
  }

  resume(): void {
    this.#isPaused = false;
    this.#readOn?.();
    this.#readOn = null;
  }

  close(): void {
    this.#cause = CloseCause.Asked;
    this.#isEnding = true;
    this.resume();
    // Before: a connection whose peer has ended is gone at once.
    this.#cutOff = setTimeout(() => this.#shut(), CLOSE_MILLIS);
    if (!this.isWriting) this.#end();
  }

  abort(): void {
    this.#cause = CloseCause.Asked;
    this.#shut();
    this.resume();
  }

  /** All has been written. A socket whose peer may still send is not closed: that would cost the peer our last bytes. */
  #end(): void {
    if (this.#hasPeerEnded) this.#gone();
    else this.#tcp.closeWrite().catch(() => this.#shut());
  }

  #shut(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.#tcp.close();
    } catch {
      // It was closed already.
    }
    this.#gone();
  }

  #gone(): void {
    clearTimeout(this.#cutOff);
    if (this.#isGone) return;
    this.#isGone = true;
    this.#shut();
    this.#host.closed(this.#conn, this.#cause);
  }
}

function accept(
  tcp: DenoConn,
  buffers: OutBuffers,
  hostOf: (tcp: TcpConnection) => TransportHost,
): void {
  tcp.setNoDelay(true);
  tcp.setKeepAlive(true);
  new TcpConnection(tcp, buffers, hostOf).serve();
}

const READ_BYTES_MIN = 1024;
const READ_BYTES_MAX = 65_536;
const ACCEPT_RETRY_MILLIS = 10;
