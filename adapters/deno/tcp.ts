/** MQTT over Deno's TCP connections, which are read and written by promises. */
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener, ListenOptions } from "../broker-server.ts";
import { connInfo } from "../broker-server.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket } from "../host.ts";
import { CLOSE_MILLIS, type OutBuffers } from "../out-buffers.ts";
import type { DenoConn } from "./api.ts";
import { deno } from "./api.ts";

export function listenTcp(
  driver: Driver,
  options: Required<ListenOptions>,
  buffers: OutBuffers,
): Promise<Listener> {
  const { host: hostname, port } = options;
  const listener = deno.listen({ hostname, port });
  let isOpen = true;
  const acceptAll = async (): Promise<void> => {
    while (isOpen) {
      try {
        accept(driver, await listener.accept(), buffers);
      } catch {
        // The listener was closed, or one connection ended before it was accepted.
        if (isOpen) await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MILLIS));
      }
    }
  };
  void acceptAll();
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return Promise.resolve({
    address: `tcp://${host}:${listener.addr.port}`,
    close: () => {
      isOpen = false;
      listener.close();
      return Promise.resolve();
    },
  });
}

class TcpConnection implements HostSocket {
  readonly #driver: Driver;
  readonly #tcp: DenoConn;
  readonly #buffers: OutBuffers;
  conn: ConnId = NO_CONN;
  #cause: CloseCause = CloseCause.Ended;
  #isWriting = false;
  #isEnding = false;
  /** The peer writes no more. */
  #hasEnded = false;
  #isClosed = false;
  #isGone = false;
  /** Goes on reading; null: it was not told to stop. */
  #readOn: (() => void) | null = null;
  #isPaused = false;
  #cutOff: ReturnType<typeof setTimeout> | undefined;

  constructor(driver: Driver, tcp: DenoConn, buffers: OutBuffers) {
    this.#driver = driver;
    this.#tcp = tcp;
    this.#buffers = buffers;
  }

  /** Reads until the end. The buffer is small until reads fill it: most connections are silent. */
  async read(): Promise<void> {
    let buffer = new Uint8Array(READ_BYTES_MIN);
    try {
      for (;;) {
        if (this.#isPaused) await new Promise<void>((resolve) => (this.#readOn = resolve));
        const count = await this.#tcp.read(buffer);
        if (this.#isGone) return;
        if (count === null) {
          this.#hasEnded = true;
          break;
        }
        this.#isPaused = !this.#driver.bytes(this.conn, buffer.subarray(0, count));
        if (count === buffer.length && count < READ_BYTES_MAX) buffer = new Uint8Array(count * 4);
      }
    } catch {
      if (this.#cause === CloseCause.Ended) this.#cause = CloseCause.Error;
    }
    // Who says its last may still be owed something.
    if (!this.#hasEnded || !this.#isWriting) this.#gone();
  }

  /** A write is a promise: it is never whole at once. */
  write(out: OutBuffer): boolean {
    const held = out.bytes;
    const parts = [held.subarray(0, out.length)];
    if (out.tail !== null) parts.push(out.tail);
    out.bytes = this.#buffers.take();
    this.#isWriting = true;
    void this.#writeAll(parts, held);
    return false;
  }

  async #writeAll(parts: readonly Uint8Array[], held: Uint8Array): Promise<void> {
    try {
      for (const part of parts) {
        for (let at = 0; at < part.length; ) {
          at += await this.#tcp.write(at === 0 ? part : part.subarray(at));
        }
      }
    } catch {
      if (this.#cause === CloseCause.Ended) this.#cause = CloseCause.Error;
      this.#shut();
      return;
    }
    this.#buffers.give(held);
    this.#isWriting = false;
    if (this.#hasEnded) this.#gone();
    else if (this.#isEnding) this.#end();
    else if (!this.#isGone) this.#driver.writable(this.conn, true);
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
    if (!this.#isWriting) this.#end();
    this.#cutOff = setTimeout(() => this.#shut(), CLOSE_MILLIS);
  }

  abort(): void {
    this.#cause = CloseCause.Asked;
    this.#shut();
    this.resume();
  }

  /** Nothing more is written; what the peer still sends would otherwise cost it our last bytes. */
  #end(): void {
    this.#tcp.closeWrite().catch(() => this.#shut());
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
    this.#driver.closed(this.conn, this.#cause);
  }
}

function accept(driver: Driver, tcp: DenoConn, buffers: OutBuffers): void {
  tcp.setNoDelay(true);
  tcp.setKeepAlive(true);
  const connection = new TcpConnection(driver, tcp, buffers);
  const { hostname, port } = tcp.remoteAddr;
  connection.conn = driver.open(connection, connInfo("tcp", `${hostname}:${port}`));
  if (connection.conn === NO_CONN) tcp.close();
  else void connection.read();
}

const READ_BYTES_MIN = 1024;
const READ_BYTES_MAX = 65_536;
const ACCEPT_RETRY_MILLIS = 10;
