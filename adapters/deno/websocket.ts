/**
 * MQTT over WebSocket on Deno, MQTT 5.0 §6: a layer between its TCP connections and the driver, which reads,
 * waits and is cut off as they are (docs/decisions/0008-websocket-on-deno.md).
 */
import type { ConnId, ConnInfo, Limits, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { webSocketBytesMax } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket, TransportHost } from "../host.ts";
import type { WebSocketAddress } from "../listen.ts";
import type { OutBuffers } from "../out-buffers.ts";
import { sendMessages } from "../websocket-messages.ts";
import { binaryFrame, closeFrame, FrameReader, pongFrame } from "./frames.ts";
import type { Answer } from "./handshake.ts";
import { answerTo, refusalOf } from "./handshake.ts";
import type { TcpConnection } from "./tcp.ts";
import { listenConnections } from "./tcp.ts";

export function listenWebSocket(
  driver: Driver,
  options: WebSocketAddress,
  limits: Limits,
  buffers: OutBuffers,
): Promise<Listener> {
  const handshakes = new Set<WebSocketConnection>();
  const { paths, proxies } = options;
  const server = { driver, paths, proxies, limits, handshakes };
  const { authority, port, close } = listenConnections(
    options,
    buffers,
    (tcp) => new WebSocketConnection(server, tcp),
  );
  return Promise.resolve({
    addresses: paths.given.map((path) => `ws://${authority}${path}`),
    port,
    close: () => {
      for (const connection of handshakes) connection.abort();
      return close();
    },
  });
}

interface WebSocketHost extends Pick<WebSocketAddress, "paths" | "proxies"> {
  readonly driver: Driver;
  readonly limits: Limits;
  /** What is no WebSocket yet is no connection of the broker's, and has limits of its own. */
  readonly handshakes: Set<WebSocketConnection>;
}

/** To the TCP connection it is the broker, to the broker the connection. */
class WebSocketConnection implements TransportHost, HostSocket {
  readonly #server: WebSocketHost;
  readonly #tcp: TcpConnection;
  readonly #frames: FrameReader;
  #conn: ConnId = NO_CONN;
  #peer = "";
  /** The request, as far as it came; null: it has been answered. */
  #head: string | null = "";
  #timer: Timer | undefined;
  /** Waits for what is being written: a peer that takes none has one answer waiting, however many it wants. */
  #pong: Uint8Array | null = null;
  #cause: CloseCause = CloseCause.Ended;
  readonly #send = (bytes: Uint8Array, tail: Uint8Array | null): void => {
    this.#tcp.send(binaryFrame(bytes, tail?.length ?? 0));
    if (tail !== null) this.#tcp.send(tail);
  };
  /** Nothing more is read or written. */
  #isEnded = false;
  #isGone = false;

  constructor(server: WebSocketHost, tcp: TcpConnection) {
    this.#server = server;
    this.#tcp = tcp;
    this.#frames = new FrameReader(webSocketBytesMax(server.limits));
  }

  open(_: HostSocket, info: ConnInfo): ConnId {
    const { handshakes, limits } = this.#server;
    if (handshakes.size >= HANDSHAKES_MAX) return NO_CONN;
    handshakes.add(this);
    this.#peer = info.remote;
    this.#timer = setTimeout(() => this.#tcp.abort(), limits.connectMillisMax);
    return LINKED;
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
    // What follows waits for the answer.
    const rest = chunk.slice(chunk.length - (head.length - end - HEAD_END.length));
    void this.#answer(head.slice(0, end), rest);
    return false;
  }

  async #answer(head: string, rest: Uint8Array): Promise<void> {
    const { driver } = this.#server;
    const answer = await answerTo(head, this.#peer, this.#server);
    if (this.#isGone) return;
    if (answer.info === null) {
      this.#refuse(answer);
      return;
    }
    this.#endHandshake();
    this.#tcp.send(answer.bytes);
    this.#conn = driver.open(this, answer.info);
    if (this.#conn === NO_CONN) this.#end(1013);
    else if (this.#unframe(rest)) this.#tcp.resume();
  }

  #refuse({ bytes }: Answer): void {
    this.#endHandshake();
    this.#isEnded = true;
    this.#tcp.send(bytes);
    this.#tcp.close();
  }

  #endHandshake(): void {
    clearTimeout(this.#timer);
    this.#server.handshakes.delete(this);
  }

  /** All frames of a chunk become one chunk. */
  #unframe(chunk: Uint8Array): boolean {
    const { driver } = this.#server;
    const frames = this.#frames;
    const length = frames.unframe(chunk);
    const readsOn = length === 0 || driver.bytes(this.#conn, chunk.subarray(0, length));
    if (frames.ping !== null) {
      this.#pong = pongFrame(frames.ping);
      frames.ping = null;
      if (!this.#tcp.isWriting) this.#sendPong();
    }
    if (frames.closeCode === 0) return readsOn;
    this.#end(frames.closeCode);
    // Now, not when its TCP connection ends.
    this.#tellClosed(frames.isBroken ? CloseCause.Transport : this.#cause);
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
    else if (this.#conn !== NO_CONN) this.#server.driver.writable(this.#conn, true);
  }

  resume(): void {
    this.#tcp.resume();
  }

  close(): void {
    this.#cause = CloseCause.Asked;
    this.#end(1000);
  }

  abort(): void {
    this.#tcp.abort();
  }

  ended(): void {
    if (this.#conn === NO_CONN) this.#tcp.close();
    else this.#server.driver.ended(this.#conn);
  }

  closed(_: ConnId, cause: CloseCause): void {
    this.#endHandshake();
    this.#tellClosed(this.#isEnded ? this.#cause : cause);
  }

  /** Says that it ends, ends our side, and reads until the peer ends its own or is cut off. */
  #end(code: number): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#tcp.send(closeFrame(code));
    this.#tcp.close();
  }

  #tellClosed(cause: CloseCause): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#conn !== NO_CONN) this.#server.driver.closed(this.#conn, cause);
  }
}

/** A byte is a character, whichever it is. */
const latin1 = new TextDecoder("latin1");
const HEAD_END = "\r\n\r\n";
/** What a connection is told instead of the broker's name for it, which it has no use for. */
const LINKED = 1 as ConnId;
const HANDSHAKES_MAX = 1024;
