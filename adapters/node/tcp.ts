/** MQTT over Node's TCP sockets. */
import { createServer, type Socket } from "node:net";
import type { OutBuffer } from "../../core/mod.ts";
import { CloseCause } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import type { Driver } from "../driver.ts";
import type { ListenAddress } from "../listen.ts";
import { peerAddress } from "../peer-address.ts";
import { connInfo, Transport } from "../transport.ts";
import { outBuffers } from "./buffers.ts";
import { listening } from "./listening.ts";
import { readShared } from "./shared-read.ts";

export async function listenTcp(driver: Driver, address: ListenAddress): Promise<Listener> {
  const server = createServer(OPTIONS, (socket) => accept(driver, socket));
  const { at, port } = await listening(server, address);
  return {
    addresses: [`tcp://${at}`],
    port,
    close: () => {
      // Does not wait, because transports may still be open.
      server.close();
      return Promise.resolve();
    },
  };
}

/** The property of a socket that holds its connection, so that all sockets share their handlers. */
const connection = Symbol("connection");
type TcpSocket = Socket & { [connection]: TcpConnection };

class TcpConnection extends Transport {
  readonly #socket: Socket;
  /** The buffer of an unfinished write. */
  #unsentBuffer: Uint8Array | null = null;

  constructor(driver: Driver, socket: Socket) {
    super(driver);
    this.#socket = socket;
  }

  /** False: stop reading. */
  received(chunk: Uint8Array): boolean {
    return this.host.bytes(this.conn, chunk);
  }

  write(out: OutBuffer): boolean {
    const socket = this.#socket;
    const bytes = out.bytes.subarray(0, out.length);
    if (out.tail === null) {
      socket.write(bytes);
    } else {
      socket.cork();
      if (out.length > 0) socket.write(bytes);
      socket.write(out.tail);
      socket.uncork();
    }
    // The socket took all bytes, so the same buffer can be used again.
    if (socket.writableLength === 0) return true;
    this.#unsentBuffer = out.bytes;
    out.bytes = outBuffers.acquire();
    // A socket below its high-water mark emits no "drain", so an empty write behind the others reports that they are done.
    if (!socket.writableNeedDrain) socket.write(NO_BYTES, (error) => error || this.drained());
    return false;
  }

  /** All written bytes have been sent. */
  drained(): void {
    if (this.#unsentBuffer === null) return;
    outBuffers.release(this.#unsentBuffer);
    this.#unsentBuffer = null;
    this.host.writable(this.conn, true);
  }

  /** The peer writes no more. */
  ended(): void {
    this.host.ended(this.conn);
  }

  failed(): void {
    this.cause = CloseCause.Error;
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Does not destroy the socket: if the peer still sends, it would then lose our last bytes. */
  protected override end(): void {
    this.#socket.end();
    this.cutOffLater();
  }

  protected override cut(): void {
    this.#socket.destroy();
  }
}

function accept(driver: Driver, socket: Socket): void {
  const made = new TcpConnection(driver, socket);
  (socket as TcpSocket)[connection] = made;
  socket.on("error", onError);
  const { remoteAddress, remotePort } = socket;
  // No address: the client reset the connection before it was accepted.
  const info =
    remoteAddress === undefined ? null : connInfo("tcp", peerAddress(remoteAddress, remotePort!));
  if (info === null || !made.openConn(info)) {
    socket.destroy();
    return;
  }
  if (!readShared(socket, onRead)) socket.on("data", onData);
  socket.on("drain", onDrain);
  socket.on("end", onEnd);
  socket.on("close", onClose);
}

function onRead(socket: Socket, chunk: Uint8Array): boolean {
  return (socket as TcpSocket)[connection].received(chunk);
}

function onData(this: Socket, chunk: Uint8Array): void {
  if (!(this as TcpSocket)[connection].received(chunk)) this.pause();
}

function onDrain(this: Socket): void {
  (this as TcpSocket)[connection].drained();
}

function onEnd(this: Socket): void {
  (this as TcpSocket)[connection].ended();
}

function onError(this: Socket): void {
  (this as TcpSocket)[connection].failed();
}

function onClose(this: Socket): void {
  (this as TcpSocket)[connection].gone();
}

/** A client that writes no more may still wait for replies, so its end does not end our side. */
const OPTIONS = { noDelay: true, keepAlive: true, allowHalfOpen: true };
const NO_BYTES = new Uint8Array(0);
