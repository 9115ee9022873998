/**
 * MQTT over WebSocket on Deno, MQTT 5.0 §6: a layer between TCP connections and the driver. The TCP connection pauses,
 * resumes and is cut off as without the layer (docs/decisions/0008-websocket-on-deno.md).
 */
import type { ConnId, ConnInfo, Limits, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { TransportHost } from "../host.ts";
import type { WebSocketAddress } from "../listen.ts";
import { HANDSHAKES_MAX } from "../listen.ts";
import type { OutBuffers } from "../out-buffers.ts";
import { Transport } from "../transport.ts";
import { messageBytesMax, sendMessages } from "../websocket-messages.ts";
import { binaryFrame, closeFrame, FrameReader, pongFrame } from "./frames.ts";
import type { HandshakeResponse } from "./handshake.ts";
import { refusalOf, responseTo } from "./handshake.ts";
import type { TcpConnection } from "./tcp.ts";
import { listenConnections } from "./tcp.ts";

export function listenWebSocket(
  driver: Driver,
  address: WebSocketAddress,
  limits: Limits,
  buffers: OutBuffers,
): Listener {
  const handshakes = new Set<WebSocketConnection>();
  const { paths, proxies } = address;
  const server = { paths, proxies, limits, handshakes };
  const { at, port, close } = listenConnections(
    address,
    buffers,
    () => new WebSocketConnection(driver, server),
  );
  return {
    addresses: paths.given.map((path) => `ws://${at}${path}`),
    port,
    close: () => {
      for (const connection of handshakes) connection.abort();
      return close();
    },
  };
}

interface WebSocketServer extends Pick<WebSocketAddress, "paths" | "proxies"> {
  readonly limits: Limits;
  /** Connections that are not yet WebSockets, and therefore not connections of the broker. */
  readonly handshakes: Set<WebSocketConnection>;
}

/** The host of a TCP connection, and a transport of the driver. */
class WebSocketConnection extends Transport implements TransportHost {
  readonly #server: WebSocketServer;
  #tcp!: TcpConnection;
  readonly #frames: FrameReader;
  #peer = "";
  /** The received part of the request; null: the request is complete. */
  #head: string | null = "";
  #timer: Timer | undefined;
  /** Waits until the current write is done. Only the last Pong is kept, so a peer that reads nothing costs no more. */
  #pong: Uint8Array | null = null;
  readonly #send = (bytes: Uint8Array, tail: Uint8Array | null): void => {
    this.#tcp.send(binaryFrame(bytes, tail?.length ?? 0));
    if (tail !== null) this.#tcp.send(tail);
  };
  /** Nothing more is read or written. */
  #isEnded = false;

  constructor(driver: Driver, server: WebSocketServer) {
    super(driver);
    this.#server = server;
    this.#frames = new FrameReader(messageBytesMax(server.limits));
  }

  open(tcp: TcpConnection, info: ConnInfo): ConnId {
    this.#tcp = tcp;
    const { handshakes, limits } = this.#server;
    if (handshakes.size >= HANDSHAKES_MAX) return NO_CONN;
    handshakes.add(this);
    this.#peer = info.remote;
    this.#timer = setTimeout(() => tcp.abort(), limits.connectMillisMax);
    return TCP_CONN;
  }

  bytes(_: ConnId, chunk: Uint8Array): boolean {
    if (this.#isEnded) return true;
    if (this.#head === null) return this.#unframe(chunk);
    const head = this.#head + latin1.decode(chunk);
    const end = head.indexOf(HEAD_END, this.#head.length - HEAD_END.length);
    if (end < 0) {
      this.#head = head;
      const refused = refusalOf(head);
      if (refused !== null) this.#refuse(refused);
      return true;
    }
    this.#head = null;
    // The bytes after the request wait for the response.
    const rest = chunk.slice(chunk.length - (head.length - end - HEAD_END.length));
    void this.#respond(head.slice(0, end), rest);
    return false;
  }

  async #respond(head: string, rest: Uint8Array): Promise<void> {
    const response = await responseTo(head, this.#peer, this.#server);
    if (this.isGone) return;
    if (response.info === null) {
      this.#refuse(response);
      return;
    }
    this.#endHandshake();
    this.#tcp.send(response.bytes);
    if (!this.openConn(response.info)) this.#closeWith(1013);
    else if (this.#unframe(rest)) this.#tcp.resume();
  }

  #refuse({ bytes }: HandshakeResponse): void {
    this.#endHandshake();
    this.#isEnded = true;
    this.#tcp.send(bytes);
    this.#tcp.close();
  }

  #endHandshake(): void {
    clearTimeout(this.#timer);
    this.#server.handshakes.delete(this);
  }

  /** Passes on the payloads of all frames of a chunk as one chunk. */
  #unframe(chunk: Uint8Array): boolean {
    const frames = this.#frames;
    const length = frames.unframe(chunk);
    const readsOn = length === 0 || this.host.bytes(this.conn, chunk.subarray(0, length));
    if (frames.ping !== null) {
      this.#pong = pongFrame(frames.ping);
      frames.ping = null;
      if (!this.#tcp.isWriting) this.#sendPong();
    }
    if (frames.closeCode === 0) return readsOn;
    this.#closeWith(frames.closeCode);
    // Does not wait until the TCP connection ends.
    this.reportClosed(frames.isBroken ? CloseCause.Transport : this.cause);
    return true;
  }

  #sendPong(): void {
    if (this.#pong !== null && !this.#isEnded) this.#tcp.send(this.#pong);
    this.#pong = null;
  }

  write(out: OutBuffer): boolean {
    if (this.#isEnded) return true;
    sendMessages(out, this.#send);
    return false;
  }

  writable(): void {
    if (this.#pong !== null) this.#sendPong();
    else if (this.conn !== NO_CONN) this.host.writable(this.conn, true);
  }

  resume(): void {
    this.#tcp.resume();
  }

  protected override end(): void {
    this.#closeWith(1000);
  }

  protected override cut(): void {
    this.#tcp.abort();
  }

  ended(): void {
    if (this.conn === NO_CONN) this.#tcp.close();
    else this.host.ended(this.conn);
  }

  closed(_: ConnId, cause: CloseCause): void {
    this.#endHandshake();
    this.reportClosed(this.#isEnded ? this.cause : cause);
  }

  /** Sends a Close frame, ends our side, and reads until the peer ends its side or is cut off. */
  #closeWith(code: number): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#tcp.send(closeFrame(code));
    this.#tcp.close();
  }
}

/** Decodes every byte to a character. */
const latin1 = new TextDecoder("latin1");
const HEAD_END = "\r\n\r\n";
/** The identifier that TCP connections get: any except NO_CONN, because it is not used. */
const TCP_CONN = 1 as ConnId;
