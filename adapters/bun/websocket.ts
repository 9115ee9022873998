/** MQTT over Bun's WebSocket server, MQTT 5.0 §6. */
import type { ConnId, ConnInfo, Limits, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener } from "../broker-server.ts";
import { connInfo, webSocketBytesMax } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket } from "../host.ts";
import type { WebSocketAddress } from "../listen.ts";
import { CLOSE_MILLIS } from "../out-buffers.ts";
import { bracketed, peerAddress } from "../peer-address.ts";
import { keepRequest, upgradeRequest } from "../upgrade-request.ts";
import { chosenProtocol } from "../web-loop.ts";
import { sendMessages } from "../websocket-messages.ts";
import { notFoundText, withoutAuthority } from "../websocket-paths.ts";
import type { BunWebSocket } from "./api.ts";
import { bun } from "./api.ts";

export function listenWebSocket(
  driver: Driver,
  options: WebSocketAddress,
  limits: Limits,
): Promise<Listener> {
  const { host: hostname, port, paths, proxies } = options;
  const notFound = notFoundText(paths.given);
  const server = bun.serve<WebSocketConnection>({
    hostname,
    port,
    development: false,
    // Of what is no WebSocket yet.
    idleTimeout: Math.min(Math.ceil(limits.connectMillisMax / 1000), IDLE_SECONDS_MAX),
    fetch(request, upgrading) {
      if (!paths.has(request.url)) return new Response(notFound, { status: 404 });
      const offered = request.headers.get("sec-websocket-protocol");
      const protocol = chosenProtocol(offered);
      // One that offers no protocol at all is let in, as by other brokers; one that offers others is not.
      if (offered !== null && protocol === null)
        return new Response("Bad Request\n", { status: 400 });
      const ip = upgrading.requestIP(request);
      // Reset meanwhile: nobody is there.
      if (ip === null) return new Response(null, { status: 400 });
      const peer = peerAddress(ip.address, ip.port);
      const remote = proxies.clientOf(peer, (name) => request.headers.get(name));
      if (remote === null) return new Response("Bad Request\n", { status: 400 });
      const asked = upgradeRequest(withoutAuthority(request.url), request.headers);
      const info = keepRequest(connInfo("ws", remote), asked);
      const connection = new WebSocketConnection(driver, info);
      const headers = protocol === null ? {} : { "Sec-WebSocket-Protocol": protocol };
      if (upgrading.upgrade(request, { headers, data: connection })) return undefined;
      const upgrade = { upgrade: "websocket", connection: "upgrade" };
      return new Response("Upgrade Required\n", { status: 426, headers: upgrade });
    },
    websocket: {
      maxPayloadLength: webSocketBytesMax(limits),
      backpressureLimit: BACKPRESSURE_BYTES_MAX,
      closeOnBackpressureLimit: false,
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (socket) => socket.data.opened(socket),
      message: (socket, message) => socket.data.received(message),
      drain: (socket) => socket.data.drained(),
      close: (socket) => socket.data.closed(),
    },
  });
  return Promise.resolve({
    addresses: paths.given.map((path) => `ws://${bracketed(hostname)}:${server.port}${path}`),
    port: server.port,
    close: () => {
      server.stop(false);
      return Promise.resolve();
    },
  });
}

class WebSocketConnection implements HostSocket {
  readonly #driver: Driver;
  readonly #info: ConnInfo;
  #socket: BunWebSocket<WebSocketConnection> | null = null;
  #conn: ConnId = NO_CONN;
  #cause: CloseCause = CloseCause.Ended;
  #isGone = false;
  #isTaken = true;
  readonly #send = (bytes: Uint8Array, tail: Uint8Array | null): void => {
    if (this.#socket!.send(joined(bytes, tail)) < 0) this.#isTaken = false;
  };
  #cutOff: Timer | undefined;

  constructor(driver: Driver, info: ConnInfo) {
    this.#driver = driver;
    this.#info = info;
  }

  opened(socket: BunWebSocket<WebSocketConnection>): void {
    this.#socket = socket;
    this.#conn = this.#driver.open(this, this.#info);
    if (this.#conn === NO_CONN) {
      this.#isGone = true;
      socket.close(1013);
    }
  }

  received(message: string | Uint8Array): void {
    if (this.#isGone) return;
    if (typeof message === "string") {
      this.#end(CloseCause.Transport); // [MQTT-6.0.0-1]
      this.#close(1003);
      return;
    }
    if (!this.#driver.bytes(this.#conn, message)) this.#socket!.pause();
  }

  write(out: OutBuffer): boolean {
    this.#isTaken = true;
    sendMessages(out, this.#send);
    return this.#isTaken;
  }

  drained(): void {
    if (!this.#isGone) this.#driver.writable(this.#conn, true);
  }

  resume(): void {
    this.#socket?.resume();
  }

  close(): void {
    this.#cause = CloseCause.Asked;
    this.#close(1000);
  }

  abort(): void {
    this.#cause = CloseCause.Asked;
    this.#socket?.terminate();
  }

  closed(): void {
    clearTimeout(this.#cutOff);
    this.#end(this.#cause);
  }

  /** Ends it in order, or cuts it off where its peer does not answer. */
  #close(code: number): void {
    this.#socket?.close(code);
    this.#cutOff = setTimeout(() => this.#socket?.terminate(), CLOSE_MILLIS);
  }

  #end(cause: CloseCause): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#driver.closed(this.#conn, cause);
  }
}

/** Bun makes a message of one buffer, and copies what it cannot send at once: this one is used again. */
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

/** Bun takes no longer time. */
const IDLE_SECONDS_MAX = 255;
/** More than one poll ever hands over: what is written after that waits in the broker. */
const BACKPRESSURE_BYTES_MAX = 512 * 1024 * 1024;
