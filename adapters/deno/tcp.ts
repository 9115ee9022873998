/** MQTT over Deno's TCP connections, which are read and written by promises. */
import type { OutBuffer } from "../../core/mod.ts";
import { CloseCause } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { TransportHost } from "../host.ts";
import type { ListenAddress } from "../listen.ts";
import type { OutBuffers } from "../out-buffers.ts";
import { authority, peerAddress } from "../peer-address.ts";
import { connInfo, Transport } from "../transport.ts";
import type { DenoConn, DenoListener } from "./api.ts";
import { deno } from "./api.ts";

export function listenTcp(driver: Driver, address: ListenAddress, buffers: OutBuffers): Listener {
  const { at, port, close } = listenConnections(address, buffers, () => driver);
  return { addresses: [`tcp://${at}`], port, close };
}

/** Opens a listener. Each connection reports its input and events to a host from `hostOf`. */
export function listenConnections(
  { host: hostname, port }: ListenAddress,
  buffers: OutBuffers,
  hostOf: () => TransportHost,
): { readonly at: string; readonly port: number; close(): Promise<void> } {
  const listener = deno.listen({ hostname, port });
  let isOpen = true;
  const acceptAll = async (): Promise<void> => {
    while (isOpen) {
      const tcp = await accepted(listener);
      if (tcp !== null) new TcpConnection(hostOf(), tcp, buffers).serve();
      else if (isOpen)
        await new Promise<void>((resolve) => setTimeout(resolve, ACCEPT_RETRY_MILLIS));
    }
  };
  void acceptAll();
  return {
    at: authority(hostname, listener.addr.port),
    port: listener.addr.port,
    close: () => {
      isOpen = false;
      listener.close();
      return Promise.resolve();
    },
  };
}

/** Null: the listener was closed, a connection ended before it was accepted, or the process has no descriptor left. */
async function accepted(listener: DenoListener): Promise<DenoConn | null> {
  try {
    const tcp = await listener.accept();
    tcp.setNoDelay(true);
    tcp.setKeepAlive(true);
    return tcp;
  } catch {
    return null;
  }
}

export class TcpConnection extends Transport {
  readonly #tcp: DenoConn;
  readonly #buffers: OutBuffers;
  /** The bytes to be written after the current write. */
  readonly #unsent: Uint8Array[] = [];
  /** The output buffer of an unfinished write. */
  #unsentBuffer: Uint8Array | null = null;
  isWriting = false;
  #isEnding = false;
  /** The peer writes no more. */
  #hasPeerEnded = false;
  /** Resumes reading; null: reading does not wait. */
  #resumeRead: (() => void) | null = null;
  #isPaused = false;

  constructor(host: TransportHost, tcp: DenoConn, buffers: OutBuffers) {
    super(host);
    this.#tcp = tcp;
    this.#buffers = buffers;
  }

  /** Reads until the end, unless the connection is refused. */
  serve(): void {
    const { hostname, port } = this.#tcp.remoteAddr;
    if (this.openConn(connInfo("tcp", peerAddress(hostname, port)))) void this.#read();
    else this.#tcp.close();
  }

  /** The buffer is small until reads fill it, because most connections are silent. */
  async #read(): Promise<void> {
    let buffer = new Uint8Array(READ_BYTES_MIN);
    for (;;) {
      if (this.#isPaused) await new Promise<void>((resolve) => (this.#resumeRead = resolve));
      let count: number | null;
      // Only the read is in the `try`: an error of the host is not an error of the transport.
      try {
        count = await this.#tcp.read(buffer);
      } catch {
        this.#failed();
        break;
      }
      if (this.isGone) return;
      if (count === null) {
        this.#hasPeerEnded = true;
        break;
      }
      this.#isPaused = !this.host.bytes(this.conn, buffer.subarray(0, count));
      if (count === buffer.length && count < READ_BYTES_MAX) buffer = new Uint8Array(count * 4);
    }
    if (!this.#hasPeerEnded) this.cut();
    else if (!this.#isEnding) this.host.ended(this.conn);
    else if (!this.isWriting) this.#endWritten();
  }

  /** Always returns false, because a write of Deno is a promise, which is never settled at once. */
  write(out: OutBuffer): boolean {
    this.#unsentBuffer = out.bytes;
    out.bytes = this.#buffers.acquire();
    this.send(this.#unsentBuffer.subarray(0, out.length));
    if (out.tail !== null) this.send(out.tail);
    return false;
  }

  /** Writes `part`, which must not change until the host's `writable` is called. */
  send(part: Uint8Array): void {
    this.#unsent.push(part);
    if (!this.isWriting) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.isWriting = true;
    try {
      for (let part = this.#unsent.shift(); part !== undefined; part = this.#unsent.shift()) {
        for (let at = 0; at < part.length; ) {
          at += await this.#tcp.write(at === 0 ? part : part.subarray(at));
        }
      }
    } catch {
      this.#failed();
      this.cut();
      return;
    }
    if (this.#unsentBuffer !== null) this.#buffers.release(this.#unsentBuffer);
    this.#unsentBuffer = null;
    this.isWriting = false;
    if (this.#isEnding) this.#endWritten();
    else if (!this.isGone) this.host.writable(this.conn, true);
  }

  resume(): void {
    this.#isPaused = false;
    this.#resumeRead?.();
    this.#resumeRead = null;
  }

  protected override end(): void {
    this.#isEnding = true;
    this.resume();
    // The timer is set first, because a connection whose peer has ended is gone at once.
    this.cutOffLater();
    if (!this.isWriting) this.#endWritten();
  }

  /** All bytes have been written. A socket is not closed while the peer may send, because the peer would lose our last bytes. */
  #endWritten(): void {
    if (this.#hasPeerEnded) this.cut();
    else this.#tcp.closeWrite().catch(() => this.cut());
  }

  #failed(): void {
    if (this.cause === CloseCause.Ended) this.cause = CloseCause.Error;
  }

  protected override cut(): void {
    if (!this.isGone) {
      try {
        this.#tcp.close();
      } catch {
        // It was closed already.
      }
    }
    this.gone();
    this.resume();
  }
}

const READ_BYTES_MIN = 1024;
const READ_BYTES_MAX = 65_536;
const ACCEPT_RETRY_MILLIS = 10;
