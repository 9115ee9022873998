/** MQTT over Deno's WebSocket server, MQTT 5.0 §6. */
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import type { Listener, WebSocketOptions } from "../broker-server.ts";
import { connInfo } from "../broker-server.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket } from "../host.ts";
import { CLOSE_MILLIS } from "../out-buffers.ts";
import { chosenProtocol } from "../web-loop.ts";
import { deno } from "./api.ts";

export function listenWebSocket(
  driver: Driver,
  options: Required<WebSocketOptions>,
): Promise<Listener> {
  const { host: hostname, port, path } = options;
  const handle = (
    request: Request,
    remote: { readonly hostname: string; readonly port: number },
  ): Response => {
    if (new URL(request.url).pathname !== path) return new Response("Not Found\n", { status: 404 });
    const offered = request.headers.get("sec-websocket-protocol");
    const protocol = chosenProtocol(offered);
    // One that offers no protocol at all is let in, as by other brokers; one that offers others is not.
    if (offered !== null && protocol === null)
      return new Response("Bad Request\n", { status: 400 });
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("Upgrade Required\n", { status: 426, headers: { upgrade: "websocket" } });
    }
    const chosen = protocol === null ? {} : { protocol };
    const { socket, response } = deno.upgradeWebSocket(request, { ...chosen, idleTimeout: 0 });
    accept(driver, socket, `${remote.hostname}:${remote.port}`);
    return response;
  };
  const server = deno.serve(
    {
      hostname,
      port,
      onListen: () => {},
      onError: () => new Response("Bad Request\n", { status: 400 }),
    },
    (request, { remoteAddr }) => handle(request, remoteAddr),
  );
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return Promise.resolve({
    address: `ws://${host}:${server.addr.port}${path}`,
    // Resolves when every WebSocket has ended, which is not waited for.
    close: () => {
      void server.shutdown();
      return Promise.resolve();
    },
  });
}

class WebSocketConnection implements HostSocket {
  readonly #driver: Driver;
  readonly #socket: WebSocket;
  conn: ConnId = NO_CONN;
  #cause: CloseCause = CloseCause.Ended;
  #isGone = false;
  /** It can not be told to stop: what comes nevertheless is counted, and has an end. */
  #isPaused = false;
  #pausedBytes = 0;
  #cutOff: ReturnType<typeof setTimeout> | undefined;

  constructor(driver: Driver, socket: WebSocket) {
    this.#driver = driver;
    this.#socket = socket;
  }

  received(message: unknown): void {
    if (this.#isGone) return;
    if (!(message instanceof ArrayBuffer)) {
      this.#close(1003); // [MQTT-6.0.0-1]
      this.#end(CloseCause.Transport);
      return;
    }
    if (this.#isPaused) {
      this.#pausedBytes += message.byteLength;
      if (this.#pausedBytes > PAUSED_BYTES_MAX) {
        this.abort();
        return;
      }
    }
    this.#isPaused = !this.#driver.bytes(this.conn, new Uint8Array(message));
    if (!this.#isPaused) this.#pausedBytes = 0;
  }

  write(out: OutBuffer): boolean {
    const socket = this.#socket;
    if (socket.readyState !== OPEN) return true;
    // Sent later, from memory that is then another's: it gets a copy. A packet may be split over frames
    // [MQTT-6.0.0-2].
    if (out.length > 0) socket.send(out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>);
    if (out.tail !== null) socket.send(out.tail.slice() as Uint8Array<ArrayBuffer>);
    if (socket.bufferedAmount <= BUFFERED_BYTES_MAX) return true;
    this.#watch();
    return false;
  }

  /** Nothing says when a WebSocket has sent what waited: it is looked at. */
  #watch(): void {
    setTimeout(() => {
      if (this.#isGone) return;
      if (this.#socket.bufferedAmount > 0) this.#watch();
      else this.#driver.writable(this.conn, true);
    }, WATCH_MILLIS);
  }

  resume(): void {
    this.#isPaused = false;
    this.#pausedBytes = 0;
  }

  close(): void {
    this.#cause = CloseCause.Asked;
    this.#close(1000);
  }

  /** There is no way to cut it off: it is closed, and nothing of it is heard any more. */
  abort(): void {
    this.#close(1000);
    this.#end(CloseCause.Asked);
  }

  ended(): void {
    clearTimeout(this.#cutOff);
    this.#end(this.#cause);
  }

  failed(): void {
    if (this.#cause === CloseCause.Ended) this.#cause = CloseCause.Error;
  }

  #close(code: number): void {
    if (this.#socket.readyState === OPEN) this.#socket.close(code);
    this.#cutOff = setTimeout(() => this.#end(this.#cause), CLOSE_MILLIS);
  }

  #end(cause: CloseCause): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#driver.closed(this.conn, cause);
  }
}

function accept(driver: Driver, socket: WebSocket, remote: string): void {
  socket.binaryType = "arraybuffer";
  const connection = new WebSocketConnection(driver, socket);
  socket.onopen = () => {
    connection.conn = driver.open(connection, connInfo("ws", remote));
    if (connection.conn === NO_CONN) socket.close(1013);
  };
  socket.onmessage = ({ data }) => connection.received(data);
  socket.onerror = () => connection.failed();
  socket.onclose = () => {
    if (connection.conn !== NO_CONN) connection.ended();
  };
}

const OPEN = 1;
const BUFFERED_BYTES_MAX = 65_536;
const WATCH_MILLIS = 5;
const PAUSED_BYTES_MAX = 16 * 1024 * 1024;
