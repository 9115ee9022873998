/** MQTT over Bun's TCP sockets. A write to them returns how many bytes the socket took. */
import type { OutBuffer } from "../../core/mod.ts";
import { CloseCause } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { throwLater } from "../broker-server.ts";
import type { Driver } from "../driver.ts";
import type { ListenAddress } from "../listen.ts";
import type { OutBuffers } from "../out-buffers.ts";
import { authority, peerAddress } from "../peer-address.ts";
import { connInfo, Transport } from "../transport.ts";
import type { BunSocket } from "./api.ts";
import { bun } from "./api.ts";

export function listenTcp(
  driver: Driver,
  { host: hostname, port }: ListenAddress,
  buffers: OutBuffers,
): Listener {
  const listener = bun.listen<TcpConnection>({
    hostname,
    port,
    // A client that writes no more may still wait for replies.
    allowHalfOpen: true,
    socket: {
      open: (socket) => accept(driver, socket, buffers),
      data: (socket, chunk) => socket.data?.received(chunk),
      drain: (socket) => socket.data?.drained(),
      end: (socket) => socket.data?.ended(),
      close: (socket) => socket.data?.gone(),
      // Bun passes what the functions above throw, and would go on.
      error: (_, error) => throwLater(error),
    },
  });
  return {
    addresses: [`tcp://${authority(hostname, listener.port)}`],
    port: listener.port,
    close: () => {
      listener.stop(false);
      return Promise.resolve();
    },
  };
}

class TcpConnection extends Transport {
  readonly #socket: BunSocket<TcpConnection>;
  readonly #buffers: OutBuffers;
  /** The bytes that the socket has not taken yet. */
  #unsent: Uint8Array[] = [];
  /** The output buffer that the first of them are in; null: they are in none. */
  #unsentBuffer: Uint8Array | null = null;
  #isEnding = false;
  #hasPeerEnded = false;

  constructor(driver: Driver, socket: BunSocket<TcpConnection>, buffers: OutBuffers) {
    super(driver);
    this.#socket = socket;
    this.#buffers = buffers;
  }

  received(chunk: Uint8Array): void {
    if (!this.isGone && !this.host.bytes(this.conn, chunk)) this.#socket.pause();
  }

  write(out: OutBuffer): boolean {
    const bytes = out.bytes.subarray(0, out.length);
    const taken = out.length === 0 ? 0 : this.#socket.write(bytes);
    // The socket is closed, so nothing needs to be kept.
    if (taken < 0) return true;
    const isWhole = taken === out.length;
    const tailTaken = isWhole && out.tail !== null ? this.#socket.write(out.tail) : 0;
    if (isWhole && (out.tail === null || tailTaken === out.tail.length || tailTaken < 0))
      return true;
    if (!isWhole) {
      this.#unsent.push(bytes.subarray(taken));
      this.#unsentBuffer = out.bytes;
      out.bytes = this.#buffers.acquire();
    }
    if (out.tail !== null) this.#unsent.push(out.tail.subarray(tailTaken));
    return false;
  }

  /** The socket takes more bytes. */
  drained(): void {
    while (this.#unsent.length > 0) {
      const next = this.#unsent[0]!;
      const taken = this.#socket.write(next);
      if (taken < 0) return;
      if (taken < next.length) {
        this.#unsent[0] = next.subarray(taken);
        return;
      }
      this.#unsent.shift();
    }
    if (this.#unsentBuffer !== null) this.#buffers.release(this.#unsentBuffer);
    this.#unsentBuffer = null;
    if (this.#isEnding) this.#endWritten();
    else if (!this.isGone) this.host.writable(this.conn, true);
  }

  resume(): void {
    this.#socket.resume();
  }

  protected override end(): void {
    this.#isEnding = true;
    if (this.#unsent.length === 0) this.#endWritten();
    this.#socket.resume();
    this.cutOffLater();
  }

  /** Does not terminate the socket, which is a reset: as on Node, the bytes that the socket took still reach the peer. */
  override abort(): void {
    this.cause = CloseCause.Asked;
    this.#unsent = [];
    this.#socket.end();
  }

  protected override cut(): void {
    this.#socket.terminate();
  }

  /** The peer writes no more. */
  ended(): void {
    this.#hasPeerEnded = true;
    if (!this.#isEnding) this.host.ended(this.conn);
    else if (this.#unsent.length === 0) this.#endWritten();
  }

  /** All bytes have been written. A socket is not closed while the peer may send, because the peer would lose our last bytes. */
  #endWritten(): void {
    if (this.#hasPeerEnded) this.#socket.end();
    else this.#socket.shutdown();
  }
}

function accept(driver: Driver, socket: BunSocket<TcpConnection>, buffers: OutBuffers): void {
  // No address: the client reset the connection before it was accepted.
  if (socket.remoteAddress === undefined) {
    socket.terminate();
    return;
  }
  socket.setNoDelay?.(true);
  socket.setKeepAlive?.(true);
  const connection = new TcpConnection(driver, socket, buffers);
  socket.data = connection;
  const remote = peerAddress(socket.remoteAddress, socket.remotePort ?? 0);
  // Closes in order, because a reset would look to the client as if no server listened.
  if (!connection.openConn(connInfo("tcp", remote))) connection.close();
}
