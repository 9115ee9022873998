/** MQTT over Bun's WebSocket server, MQTT 5.0 §6. */
import type { ConnInfo, Limits, OutBuffer } from "../../core/mod.ts";
import { CloseCause } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import type { Driver } from "../driver.ts";
import type { WebSocketAddress } from "../listen.ts";
import { authority, peerAddress } from "../peer-address.ts";
import { connInfo, Transport } from "../transport.ts";
import { keepRequest, upgradeRequest } from "../upgrade-request.ts";
import { chosenProtocol } from "../web-loop.ts";
import { messageBytesMax, sendMessages } from "../websocket-messages.ts";
import { notFoundText, withoutAuthority } from "../websocket-paths.ts";
import type { BunWebSocket } from "./api.ts";
import { bun } from "./api.ts";

export function listenWebSocket(
  driver: Driver,
  { host: hostname, port, paths, proxies }: WebSocketAddress,
  limits: Limits,
): Listener {
  const notFound = notFoundText(paths.given);
  const server = bun.serve<WebSocketConnection>({
    hostname,
    port,
    development: false,
    // For connections that are not yet WebSockets.
    idleTimeout: Math.min(Math.ceil(limits.connectMillisMax / 1000), IDLE_SECONDS_MAX),
    fetch(request, upgrading) {
      if (!paths.has(request.url)) return new Response(notFound, { status: 404 });
      const offered = request.headers.get("sec-websocket-protocol");
      const protocol = chosenProtocol(offered);
      // Like other brokers, accepts a client that offers no protocol, but not a client that offers only other protocols.
      if (offered !== null && protocol === null)
        return new Response("Bad Request\n", { status: 400 });
      const ip = upgrading.requestIP(request);
      // No address: the client has reset the connection meanwhile.
      if (ip === null) return new Response(null, { status: 400 });
      const peer = peerAddress(ip.address, ip.port);
      const remote = proxies.clientOf(peer, (name) => request.headers.get(name));
      if (remote === null) return new Response("Bad Request\n", { status: 400 });
      const upgradeAsked = upgradeRequest(withoutAuthority(request.url), request.headers);
      const info = keepRequest(connInfo("ws", remote), upgradeAsked);
      const connection = new WebSocketConnection(driver, info);
      const headers = protocol === null ? {} : { "Sec-WebSocket-Protocol": protocol };
      if (upgrading.upgrade(request, { headers, data: connection })) return undefined;
      const upgrade = { upgrade: "websocket", connection: "upgrade" };
      return new Response("Upgrade Required\n", { status: 426, headers: upgrade });
    },
    websocket: {
      maxPayloadLength: messageBytesMax(limits),
      backpressureLimit: BACKPRESSURE_BYTES_MAX,
      closeOnBackpressureLimit: false,
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (socket) => socket.data.opened(socket),
      message: (socket, message) => socket.data.received(message),
      drain: (socket) => socket.data.drained(),
      close: (socket) => socket.data.gone(),
    },
  });
  const at = authority(hostname, server.port);
  return {
    addresses: paths.given.map((path) => `ws://${at}${path}`),
    port: server.port,
    close: () => {
      server.stop(false);
      return Promise.resolve();
    },
  };
}

class WebSocketConnection extends Transport {
  readonly #info: ConnInfo;
  #socket: BunWebSocket<WebSocketConnection> | null = null;
  /** The socket sent all messages of the last write at once. */
  #isSent = true;
  readonly #send = (bytes: Uint8Array, tail: Uint8Array | null): void => {
    if (this.#socket!.send(joined(bytes, tail)) < 0) this.#isSent = false;
  };

  constructor(driver: Driver, info: ConnInfo) {
    super(driver);
    this.#info = info;
  }

  opened(socket: BunWebSocket<WebSocketConnection>): void {
    this.#socket = socket;
    if (this.openConn(this.#info)) return;
    this.isGone = true;
    socket.close(1013);
  }

  received(message: string | Uint8Array): void {
    if (this.isGone) return;
    if (typeof message === "string") {
      this.reportClosed(CloseCause.Transport); // [MQTT-6.0.0-1]
      this.#closeWith(1003);
      return;
    }
    if (!this.host.bytes(this.conn, message)) this.#socket!.pause();
  }

  write(out: OutBuffer): boolean {
    this.#isSent = true;
    sendMessages(out, this.#send);
    return this.#isSent;
  }

  drained(): void {
    if (!this.isGone) this.host.writable(this.conn, true);
  }

  resume(): void {
    this.#socket?.resume();
  }

  protected override end(): void {
    this.#closeWith(1000);
  }

  protected override cut(): void {
    this.#socket?.terminate();
  }

  /** Sends a Close frame. */
  #closeWith(code: number): void {
    this.#socket?.close(code);
    this.cutOffLater();
  }
}

/** Bun sends one buffer as a message, and copies the bytes that it cannot send at once, so the joined buffer is reused. */
function joined(bytes: Uint8Array, tail: Uint8Array | null): Uint8Array {
  if (tail === null) return bytes;
  if (bytes.length === 0) return tail;
  const length = bytes.length + tail.length;
  if (length > joint.length) joint = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
  joint.set(bytes);
  joint.set(tail, bytes.length);
  return joint.subarray(0, length);
}
let joint = new Uint8Array(0);

/** The longest time that Bun accepts. */
const IDLE_SECONDS_MAX = 255;
/** More than the output of one poll. The broker keeps further output. */
const BACKPRESSURE_BYTES_MAX = 512 * 1024 * 1024;
