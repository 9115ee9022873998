/** MQTT over Node's TCP sockets. */
import { createServer, type Server, type Socket } from "node:net";
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { connInfo } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket } from "../host.ts";
import type { ListenAddress } from "../listen.ts";
import { peerAddress } from "../peer-address.ts";
import { CLOSE_MILLIS, giveBuffer, takeBuffer } from "./buffers.ts";
import { listening } from "./listening.ts";
import { readShared } from "./shared-read.ts";

export async function listenTcp(driver: Driver, options: ListenAddress): Promise<Listener> {
  const server = createServer(OPTIONS, (socket) => accept(driver, socket));
  const { host, port } = await listening(server, options);
  return { addresses: [`tcp://${host}:${port}`], port, close: () => closed(server) };
}

/** Resolves when the server accepts no more; its transports may still be open. */
export function closed(server: Server): Promise<void> {
  server.close();
  return Promise.resolve();
}

/** A socket knows its connection by this, so that all share their handlers. */
const connection = Symbol("connection");
type TcpSocket = Socket & { [connection]: TcpConnection };

class TcpConnection implements HostSocket {
  readonly #socket: Socket;
  readonly driver: Driver;
  conn: ConnId = NO_CONN;
  cause: CloseCause = CloseCause.Ended;
  /** The buffer that a write has not finished with. */
  #held: Buffer | null = null;
  #cutOff: Timer | undefined;

  constructor(driver: Driver, socket: Socket) {
    this.driver = driver;
    this.#socket = socket;
  }

  write(out: OutBuffer): boolean {
    const socket = this.#socket;
    const bytes = (out.bytes as Buffer).subarray(0, out.length);
    if (out.tail === null) {
      socket.write(bytes);
    } else {
      socket.cork();
      if (out.length > 0) socket.write(bytes);
      socket.write(out.tail);
      socket.uncork();
    }
    // Nothing waits: it has all been taken, and the same memory can be written again.
    if (socket.writableLength === 0) return true;
    this.#held = out.bytes as Buffer;
    out.bytes = takeBuffer();
    // Below its high-water mark a socket emits no "drain": a write behind what waits is called back instead.
    if (!socket.writableNeedDrain) socket.write(NO_BYTES, (error) => error || this.drained());
    return false;
  }

  /** All that was written has gone out. */
  drained(): void {
    if (this.#held === null) return;
    giveBuffer(this.#held);
    this.#held = null;
    this.driver.writable(this.conn, true);
  }

  /** The peer writes no more. */
  ended(): void {
    this.driver.ended(this.conn);
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.cause = CloseCause.Asked;
    // Ended, not destroyed: what the peer still sends would otherwise cost it our last bytes.
    this.#socket.end();
    this.#cutOff = setTimeout(() => this.#socket.destroy(), CLOSE_MILLIS);
  }

  closed(): void {
    clearTimeout(this.#cutOff);
    this.driver.closed(this.conn, this.cause);
  }

  abort(): void {
    this.cause = CloseCause.Asked;
    this.#socket.destroy();
  }
}

function accept(driver: Driver, socket: Socket): void {
  const made = new TcpConnection(driver, socket);
  (socket as TcpSocket)[connection] = made;
  socket.on("error", onError);
  // Reset before it was accepted: nobody is there.
  if (socket.remoteAddress === undefined) {
    socket.destroy();
    return;
  }
  const remote = peerAddress(socket.remoteAddress, socket.remotePort!);
  made.conn = driver.open(made, connInfo("tcp", remote));
  if (made.conn === NO_CONN) {
    socket.destroy();
    return;
  }
  if (!readShared(socket, onRead)) socket.on("data", onData);
  socket.on("drain", onDrain);
  socket.on("end", onEnd);
  socket.on("close", onClose);
}

function onRead(socket: Socket, chunk: Uint8Array): boolean {
  const { driver, conn } = (socket as TcpSocket)[connection];
  return driver.bytes(conn, chunk);
}

function onData(this: Socket, chunk: Uint8Array): void {
  const { driver, conn } = (this as TcpSocket)[connection];
  if (!driver.bytes(conn, chunk)) this.pause();
}

function onDrain(this: Socket): void {
  (this as TcpSocket)[connection].drained();
}

function onEnd(this: Socket): void {
  (this as TcpSocket)[connection].ended();
}

function onError(this: Socket): void {
  (this as TcpSocket)[connection].cause = CloseCause.Error;
}

function onClose(this: Socket): void {
  (this as TcpSocket)[connection].closed();
}

/** Who says its last may still be owed something. */
const OPTIONS = { noDelay: true, keepAlive: true, allowHalfOpen: true };
const NO_BYTES = new Uint8Array(0);
