/** MQTT over Bun's TCP sockets, which take what they can of a write and say how much that was. */
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { connInfo } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket } from "../host.ts";
import type { ListenAddress } from "../listen.ts";
import { CLOSE_MILLIS, type OutBuffers } from "../out-buffers.ts";
import { bracketed, peerAddress } from "../peer-address.ts";
import type { BunSocket } from "./api.ts";
import { bun } from "./api.ts";

export function listenTcp(
  driver: Driver,
  options: ListenAddress,
  buffers: OutBuffers,
): Promise<Listener> {
  const { host: hostname, port } = options;
  const listener = bun.listen<TcpConnection>({
    hostname,
    port,
    // Who says its last may still be owed something.
    allowHalfOpen: true,
    socket: {
      open: (socket) => accept(driver, socket, buffers),
      data: (socket, chunk) => socket.data?.received(chunk),
      drain: (socket) => socket.data?.drained(),
      end: (socket) => socket.data?.ended(),
      close: (socket) => socket.data?.closed(),
      error: (socket) => socket.data?.failed(),
    },
  });
  return Promise.resolve({
    addresses: [`tcp://${bracketed(hostname)}:${listener.port}`],
    port: listener.port,
    close: () => {
      listener.stop(false);
      return Promise.resolve();
    },
  });
}

class TcpConnection implements HostSocket {
  readonly #driver: Driver;
  readonly #socket: BunSocket<TcpConnection>;
  readonly #buffers: OutBuffers;
  conn: ConnId = NO_CONN;
  #cause: CloseCause = CloseCause.Ended;
  /** What is still to be written, and the buffer that the first of it lies in. */
  #rest: Uint8Array[] = [];
  #held: Uint8Array | null = null;
  #isEnding = false;
  #hasPeerEnded = false;
  #isGone = false;
  #cutOff: Timer | undefined;

  constructor(driver: Driver, socket: BunSocket<TcpConnection>, buffers: OutBuffers) {
    this.#driver = driver;
    this.#socket = socket;
    this.#buffers = buffers;
  }

  received(chunk: Uint8Array): void {
    if (!this.#isGone && !this.#driver.bytes(this.conn, chunk)) this.#socket.pause();
  }

  write(out: OutBuffer): boolean {
    const bytes = out.bytes.subarray(0, out.length);
    const taken = out.length === 0 ? 0 : this.#socket.write(bytes);
    // It is closed: nothing is worth keeping.
    if (taken < 0) return true;
    const isWhole = taken === out.length;
    const tailTaken = isWhole && out.tail !== null ? this.#socket.write(out.tail) : 0;
    if (isWhole && (out.tail === null || tailTaken === out.tail.length || tailTaken < 0))
      return true;
    if (!isWhole) {
      this.#rest.push(bytes.subarray(taken));
      this.#held = out.bytes;
      out.bytes = this.#buffers.take();
    }
    if (out.tail !== null) this.#rest.push(out.tail.subarray(tailTaken));
    return false;
  }

  /** The socket takes more. */
  drained(): void {
    while (this.#rest.length > 0) {
      const next = this.#rest[0]!;
      const taken = this.#socket.write(next);
      if (taken < 0) return;
      if (taken < next.length) {
        this.#rest[0] = next.subarray(taken);
        return;
      }
      this.#rest.shift();
    }
    if (this.#held !== null) this.#buffers.give(this.#held);
    this.#held = null;
    if (this.#isEnding) this.#end();
    else if (!this.#isGone) this.#driver.writable(this.conn, true);
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#cause = CloseCause.Asked;
    this.#isEnding = true;
    if (this.#rest.length === 0) this.#end();
    this.#socket.resume();
    this.#cutOff = setTimeout(() => this.#socket.terminate(), CLOSE_MILLIS);
  }

  abort(): void {
    this.#cause = CloseCause.Asked;
    // Not terminated, which is a reset: what was taken still gets there, as on Node.
    this.#rest = [];
    this.#socket.end();
  }

  /** The peer writes no more. */
  ended(): void {
    this.#hasPeerEnded = true;
    if (!this.#isEnding) this.#driver.ended(this.conn);
    else if (this.#rest.length === 0) this.#end();
  }

  /** All has been written. A socket whose peer may still send is not closed: that would cost the peer our last bytes. */
  #end(): void {
    if (this.#hasPeerEnded) this.#socket.end();
    else this.#socket.shutdown();
  }

  failed(): void {
    if (this.#cause === CloseCause.Ended) this.#cause = CloseCause.Error;
  }

  closed(): void {
    clearTimeout(this.#cutOff);
    if (this.#isGone || this.conn === NO_CONN) return;
    this.#isGone = true;
    this.#driver.closed(this.conn, this.#cause);
  }
}

function accept(driver: Driver, socket: BunSocket<TcpConnection>, buffers: OutBuffers): void {
  // Reset before it was accepted: nobody is there.
  if (socket.remoteAddress === undefined) {
    socket.terminate();
    return;
  }
  socket.setNoDelay?.(true);
  socket.setKeepAlive?.(true);
  const connection = new TcpConnection(driver, socket, buffers);
  socket.data = connection;
  const remote = peerAddress(socket.remoteAddress, socket.remotePort ?? 0);
  connection.conn = driver.open(connection, connInfo("tcp", remote));
  // In order: a reset would look to it as if nobody were there.
  if (connection.conn === NO_CONN) connection.close();
}
