/** MQTT over WebSocket on Node, with `ws`, MQTT 3.1.1 §6. */
import { createServer, type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { RawData, WebSocket, WebSocketServer } from "ws";
import type { ConnInfo, Limits, OutBuffer } from "../../core/mod.ts";
import { CloseCause } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { WebSocketAddress } from "../listen.ts";
import { HANDSHAKES_MAX } from "../listen.ts";
import { peerAddress } from "../peer-address.ts";
import { connInfo, Transport } from "../transport.ts";
import { type TrustedProxies, UNIX } from "../trusted-proxies.ts";
import { keepRequest, upgradeRequest } from "../upgrade-request.ts";
import { chosenProtocol } from "../web-loop.ts";
import { BINARY, frameHead, messageBytesMax, sendMessages } from "../websocket-messages.ts";
import { notFoundText } from "../websocket-paths.ts";
import { outBuffers } from "./buffers.ts";
import { listening } from "./listening.ts";

/** Handles an `upgrade` event of a Node server. */
export type HandleUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export async function listenWebSocket(
  driver: Driver,
  address: WebSocketAddress,
  limits: Limits,
): Promise<Listener> {
  /** Sockets that are not yet WebSockets, and the timers that cut them off. */
  const handshakes = new Map<Duplex, Timer>();
  const forget = (socket: Duplex): void => {
    clearTimeout(handshakes.get(socket));
    handshakes.delete(socket);
  };
  const { paths, proxies } = address;
  const handleUpgrade = webSocketUpgrade(driver, limits, proxies, forget);
  const notFound = notFoundText(paths.given);
  const server = createServer((request, response) => {
    if (paths.has(request.url!)) {
      response.writeHead(426, { connection: "upgrade", upgrade: "websocket" });
      response.end(`${STATUS_CODES[426]}\n`);
    } else {
      response.writeHead(404, { "content-type": TEXT });
      response.end(notFound);
    }
  });
  server.maxConnections = limits.connectionsMax + HANDSHAKES_MAX;
  server.on("connection", (socket) => {
    const timer = setTimeout(() => socket.destroy(), limits.connectMillisMax);
    handshakes.set(socket, timer);
    socket.once("close", () => forget(socket));
  });
  server.on("upgrade", (request, socket, head) => {
    if (paths.has(request.url!)) handleUpgrade(request, socket, head);
    else refuse(socket, 404, notFound);
  });
  const { at, port } = await listening(server, address);
  return {
    addresses: paths.given.map((path) => `ws://${at}${path}`),
    port,
    close: () => {
      server.close();
      // They wait for no output of the broker, and would keep the process alive.
      for (const socket of handshakes.keys()) socket.destroy();
      return Promise.resolve();
    },
  };
}

/** Makes transports of the upgrade requests of any HTTP server. `handleAccepted` gets the socket of each transport. */
export function webSocketUpgrade(
  driver: Driver,
  limits: Limits,
  proxies: TrustedProxies,
  handleAccepted: (socket: Duplex) => void = () => {},
): HandleUpgrade {
  // `ws` is loaded at the first upgrade, because loading it takes half as long as loading the rest of the broker.
  let sockets: Promise<WebSocketServer> | null = null;
  const opened = async (): Promise<WebSocketServer> => {
    const options = {
      noServer: true,
      perMessageDeflate: false,
      maxPayload: messageBytesMax(limits),
      handleProtocols: (offered: Set<string>) => chosenProtocol([...offered].join()) ?? false,
    };
    return new (await import("ws")).WebSocketServer(options);
  };
  return (request, socket, head) => {
    const offered = request.headers["sec-websocket-protocol"];
    // Like other brokers, accepts a client that offers no protocol, but not a client that offers only other protocols.
    const remote = proxies.clientOf(peerOf(request), (name) => headerOf(request, name));
    if ((offered !== undefined && chosenProtocol(offered) === null) || remote === null) {
      refuse(socket, 400);
      return;
    }
    const kind = "encrypted" in request.socket ? "wss" : "ws";
    const info = keepRequest(
      connInfo(kind, remote),
      upgradeRequest(request.url!, headersOf(request)),
    );
    socket.on("error", () => socket.destroy());
    sockets ??= opened();
    void sockets.then((server) =>
      server.handleUpgrade(request, socket, head, (webSocket) => {
        handleAccepted(socket);
        request.socket.setNoDelay(true);
        accept(driver, webSocket, info, socket);
      }),
    );
  };
}

/** Refuses an upgrade with an HTTP status, and closes its socket. */
export function refuse(socket: Duplex, status: number, text = ""): void {
  socket.on("error", () => socket.destroy());
  // The peer may never end its side.
  socket.once("finish", () => socket.destroy());
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "connection: close",
    `content-type: ${TEXT}`,
    `content-length: ${Buffer.byteLength(text)}`,
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
}

class WebSocketConnection extends Transport {
  readonly #socket: WebSocket;
  /** The TCP or TLS socket below the WebSocket. */
  readonly #transport: Duplex;
  /** The buffer of an unfinished write. */
  #unsentBuffer: Uint8Array | null = null;
  readonly #onSent = (): void => this.#sent();
  readonly #send = (bytes: Uint8Array, tail: Uint8Array | null): void => {
    const transport = this.#transport;
    transport.write(frameHead(BINARY, bytes.length + (tail?.length ?? 0)));
    if (bytes.length > 0) transport.write(bytes, this.#onSent);
    if (tail !== null) transport.write(tail, this.#onSent);
  };

  constructor(driver: Driver, socket: WebSocket, transport: Duplex) {
    super(driver);
    this.#socket = socket;
    this.#transport = transport;
  }

  write(out: OutBuffer): boolean {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return true;
    // Does not use `send` of `ws`, which makes a frame of one buffer, so that every long payload would have to be copied.
    this.#transport.cork();
    sendMessages(out, this.#send);
    this.#transport.uncork();
    if (this.#transport.writableLength === 0) return true;
    this.#unsentBuffer = out.bytes;
    out.bytes = outBuffers.acquire();
    return false;
  }

  #sent(): void {
    if (this.#unsentBuffer === null || this.#transport.writableLength > 0) return;
    outBuffers.release(this.#unsentBuffer);
    this.#unsentBuffer = null;
    if (this.#socket.readyState === this.#socket.OPEN) this.host.writable(this.conn, true);
  }

  resume(): void {
    this.#socket.resume();
  }

  protected override end(): void {
    this.closeWith(1000);
  }

  /** Sends a Close frame. */
  closeWith(code: number): void {
    this.#socket.close(code);
    this.cutOffLater();
  }

  /** The timer is our own, because `ws` would use a timer that a test framework replaced. */
  protected override cutOffLater(): void {
    if (this.#socket.readyState !== this.#socket.CLOSED) super.cutOffLater();
  }

  protected override cut(): void {
    this.#socket.terminate();
  }

  message(data: RawData, isBinary: boolean): void {
    if (this.isGone) return;
    if (!isBinary) {
      this.closeWith(1003); // [MQTT311-6.0.0-1]
      this.reportClosed(CloseCause.Transport);
      return;
    }
    if (!this.host.bytes(this.conn, data as Buffer)) this.#socket.pause();
  }

  failed(): void {
    this.cause = CloseCause.Error;
    this.cutOffLater();
  }

  /** Our side has ended. */
  finished(): void {
    this.cutOffLater();
    this.reportClosed(this.cause);
  }
}

function accept(driver: Driver, socket: WebSocket, info: ConnInfo, transport: Duplex): void {
  const connection = new WebSocketConnection(driver, socket, transport);
  socket.on("error", () => connection.failed());
  socket.on("close", () => connection.gone());
  if (!connection.openConn(info)) {
    connection.closeWith(1013);
    return;
  }
  socket.on("message", (data, isBinary) => connection.message(data, isBinary));
  // `ws` ends our side after the peer's Close frame. The peer's side may stay open.
  transport.once("finish", () => connection.finished());
}

/** The address of the client, which has none if the program's server listens at a path of the file system. */
function peerOf({ socket }: IncomingMessage): string {
  const { localAddress, remoteAddress = "unknown", remotePort = 0 } = socket;
  return localAddress === undefined ? UNIX : peerAddress(remoteAddress, remotePort);
}

function headerOf({ headers }: IncomingMessage, name: string): string | null {
  const value = headers[name];
  return value === undefined ? null : value.toString();
}

function* headersOf({ headers }: IncomingMessage): Iterable<[name: string, value: string]> {
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) yield [name, value.toString()];
  }
}

const TEXT = "text/plain; charset=utf-8";
