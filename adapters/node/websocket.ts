/** MQTT over WebSocket on Node, with `ws`, MQTT 3.1.1 §6. */
import { createServer, type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { RawData, WebSocket, WebSocketServer } from "ws";
import type { ConnId, ConnInfo, Limits, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { connInfo, webSocketBytesMax } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket } from "../host.ts";
import type { WebSocketAddress } from "../listen.ts";
import { peerAddress } from "../peer-address.ts";
import { type TrustedProxies, UNIX } from "../trusted-proxies.ts";
import { keepRequest, upgradeRequest } from "../upgrade-request.ts";
import { chosenProtocol } from "../web-loop.ts";
import { BINARY, frameHead, sendMessages } from "../websocket-messages.ts";
import { notFoundText } from "../websocket-paths.ts";
import { CLOSE_MILLIS, giveBuffer, takeBuffer } from "./buffers.ts";
import { listening } from "./listening.ts";

/** What Node's `upgrade` event asks for, and what answers it. */
export type HandleUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export async function listenWebSocket(
  driver: Driver,
  options: WebSocketAddress,
  limits: Limits,
): Promise<Listener> {
  /** Sockets that are no WebSocket yet, and when they are cut off. */
  const handshakes = new Map<Duplex, Timer>();
  const forget = (socket: Duplex): void => {
    clearTimeout(handshakes.get(socket));
    handshakes.delete(socket);
  };
  const { paths, proxies } = options;
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
  // What is no WebSocket yet is no connection of the broker's, and has limits of its own.
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
  const { host, port } = await listening(server, options);
  return {
    addresses: paths.given.map((path) => `ws://${host}:${port}${path}`),
    port,
    close: () => {
      server.close();
      // The broker owes them nothing, and they keep the process alive.
      for (const socket of handshakes.keys()) socket.destroy();
      return Promise.resolve();
    },
  };
}

/** Makes transports of the broker of upgrades, whoever's server they came to; `handleAccepted` gets the socket of each. */
export function webSocketUpgrade(
  driver: Driver,
  limits: Limits,
  proxies: TrustedProxies,
  handleAccepted: (socket: Duplex) => void = () => {},
): HandleUpgrade {
  // Only where it is used: it takes as long to load as half of ours.
  let sockets: Promise<WebSocketServer> | null = null;
  const opened = async (): Promise<WebSocketServer> => {
    const options = {
      noServer: true,
      perMessageDeflate: false,
      maxPayload: webSocketBytesMax(limits),
      handleProtocols: (offered: Set<string>) => chosenProtocol([...offered].join()) ?? false,
    };
    return new (await import("ws")).WebSocketServer(options);
  };
  return (request, socket, head) => {
    const offered = request.headers["sec-websocket-protocol"];
    // A client that offers no protocol at all is let in, as by other brokers; one that offers others is not.
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

/** Answers an upgrade by an HTTP status, and ends it. */
export function refuse(socket: Duplex, status: number, text = ""): void {
  socket.on("error", () => socket.destroy());
  // Its peer may never end its side.
  socket.once("finish", () => socket.destroy());
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "connection: close",
    `content-type: ${TEXT}`,
    `content-length: ${Buffer.byteLength(text)}`,
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
}

class WebSocketConnection implements HostSocket {
  readonly #socket: WebSocket;
  readonly #transport: Duplex;
  readonly #driver: Driver;
  conn: ConnId = NO_CONN;
  cause: CloseCause = CloseCause.Ended;
  #isGone = false;
  #held: Buffer | null = null;
  #cutOff: Timer | undefined;
  readonly #onSent = (): void => this.#sent();
  readonly #send = (bytes: Uint8Array, tail: Uint8Array | null): void => {
    const transport = this.#transport;
    transport.write(frameHead(BINARY, bytes.length + (tail?.length ?? 0)));
    if (bytes.length > 0) transport.write(bytes, this.#onSent);
    if (tail !== null) transport.write(tail, this.#onSent);
  };

  constructor(driver: Driver, socket: WebSocket, transport: Duplex) {
    this.#driver = driver;
    this.#socket = socket;
    this.#transport = transport;
  }

  write(out: OutBuffer): boolean {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return true;
    // Not by `ws`, which makes a frame of one buffer: joining the two would be a copy of every long payload.
    this.#transport.cork();
    sendMessages(out, this.#send);
    this.#transport.uncork();
    if (this.#transport.writableLength === 0) return true;
    this.#held = out.bytes as Buffer;
    out.bytes = takeBuffer();
    return false;
  }

  #sent(): void {
    if (this.#held === null || this.#transport.writableLength > 0) return;
    giveBuffer(this.#held);
    this.#held = null;
    if (this.#socket.readyState === this.#socket.OPEN) this.#driver.writable(this.conn, true);
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.cause = CloseCause.Asked;
    this.end(1000);
  }

  /** Says that it closes. */
  end(code: number): void {
    this.#socket.close(code);
    this.cutOffLater();
  }

  /** Cuts off a peer that does not close too. The timer is our own: `ws` would take one that a test replaced. */
  cutOffLater(): void {
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    this.#cutOff ??= setTimeout(() => this.#socket.terminate(), CLOSE_MILLIS);
  }

  abort(): void {
    this.cause = CloseCause.Asked;
    this.#socket.terminate();
  }

  message(data: RawData, isBinary: boolean): void {
    if (this.#isGone) return;
    if (!isBinary) {
      this.end(1003); // [MQTT311-6.0.0-1]
      this.#end(CloseCause.Transport);
      return;
    }
    if (!this.#driver.bytes(this.conn, data as Buffer)) this.#socket.pause();
  }

  gone(): void {
    this.#end(this.cause);
  }

  /** Both sides are closed. */
  closed(): void {
    clearTimeout(this.#cutOff);
    this.gone();
  }

  #end(cause: CloseCause): void {
    if (this.#isGone || this.conn === NO_CONN) return;
    this.#isGone = true;
    this.#driver.closed(this.conn, cause);
  }
}

function accept(driver: Driver, socket: WebSocket, info: ConnInfo, transport: Duplex): void {
  const connection = new WebSocketConnection(driver, socket, transport);
  socket.on("error", () => {
    connection.cause = CloseCause.Error;
    connection.cutOffLater();
  });
  socket.on("close", () => connection.closed());
  connection.conn = driver.open(connection, info);
  if (connection.conn === NO_CONN) {
    connection.end(1013);
    return;
  }
  socket.on("message", (data, isBinary) => connection.message(data, isBinary));
  // `ws` ends our side once the peer said that it closes: its own may stay open.
  transport.once("finish", () => {
    connection.cutOffLater();
    connection.gone();
  });
}

/** A server of the program's own may listen at a path of the file system, whose peers have no address. */
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

/** Sockets beyond the connections of the broker that may be about to become one. */
const HANDSHAKES_MAX = 1024;
