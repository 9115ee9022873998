/** A raw MQTT client over a real transport: it sends bytes, and awaits packets. */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import type { Version } from "../conformance/wire.ts";
import { concat, describe, levelFrom, split } from "./packets.ts";

export abstract class SocketClient {
  /** The bytes of an incomplete packet, and how many it lacks at least. */
  #parts: Uint8Array[] = [];
  #missing = 0;
  #lines: string[] = [];
  #level: Version = 4;
  #wake: (() => void) | null = null;
  /** Resolves when the transport has closed, with its WebSocket code or 0. */
  readonly closed: Promise<number>;
  isClosed = false;
  /** If set, receives all bytes instead of `takes`. */
  tap: ((bytes: Uint8Array) => void) | null = null;
  protected resolveClosed: (code: number) => void = () => {};

  constructor() {
    this.closed = new Promise((resolve) => {
      this.resolveClosed = (code) => {
        this.isClosed = true;
        resolve(code);
        this.#wake?.();
      };
    });
  }

  abstract send(bytes: Uint8Array): this;
  abstract destroy(): void;
  /** Sends `bytes`, if given, ends its own side, and continues to read. */
  abstract end(bytes?: Uint8Array): void;
  abstract pause(): void;
  abstract resume(): void;

  protected received(bytes: Uint8Array): void {
    if (this.tap !== null) {
      this.tap(bytes);
      return;
    }
    this.#parts.push(bytes);
    this.#missing -= bytes.length;
    if (this.#missing > 0) return;
    const { packets, rest, missing } = split(concat(...this.#parts));
    this.#parts = [rest];
    this.#missing = missing;
    for (const packet of packets) {
      this.#level = levelFrom(packet, this.#level);
      this.#lines.push(describe(packet, this.#level));
    }
    this.#wake?.();
  }

  /** The next `count` packets, in words; rejects if the transport closes before. */
  async takes(count: number): Promise<string[]> {
    while (this.#lines.length < count) {
      if (this.isClosed) throw new Error(`closed after ${JSON.stringify(this.#lines)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#lines.splice(0, count);
  }

  /** The packets that have arrived and were not taken. */
  get waiting(): readonly string[] {
    return this.#lines;
  }
}

class TcpClient extends SocketClient {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on("data", (bytes) => this.received(bytes as Uint8Array));
    socket.on("error", () => {});
    socket.on("close", () => this.resolveClosed(0));
  }

  send(bytes: Uint8Array): this {
    this.#socket.write(bytes);
    return this;
  }
  destroy(): void {
    this.#socket.resetAndDestroy();
  }
  end(bytes?: Uint8Array): void {
    this.#socket.end(bytes ?? new Uint8Array(0));
  }
  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }
}

class WsClient extends SocketClient {
  readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    super();
    this.socket = socket;
    socket.on("message", (data) => this.received(data as Buffer));
    socket.on("error", () => {});
    socket.on("close", (code) => this.resolveClosed(code));
  }

  send(bytes: Uint8Array | string): this {
    this.socket.send(bytes);
    return this;
  }
  destroy(): void {
    this.socket.terminate();
  }
  end(bytes?: Uint8Array): void {
    if (bytes !== undefined) this.send(bytes);
    this.socket.close();
  }
  pause(): void {
    this.socket.pause();
  }
  resume(): void {
    this.socket.resume();
  }
}

/** Opens a transport to an address such as `tcp://127.0.0.1:1883`. */
export async function openSocket(
  address: string,
  protocols: string[] = ["mqtt"],
): Promise<SocketClient> {
  const client = address.startsWith("tcp:")
    ? await openTcp(address)
    : await openWs(address, protocols);
  onTestFinished(() => client.destroy());
  return client;
}

function openTcp(address: string): Promise<SocketClient> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const host = hostname.replace(/^\[|\]$/g, "");
    const socket = connectTcp({ host, port: Number(port), noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => resolve(new TcpClient(socket)));
  });
}

export function openWs(address: string, protocols: string[]): Promise<WsClient> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address, protocols, { perMessageDeflate: false });
    socket.once("error", reject);
    const client = new WsClient(socket);
    socket.once("open", () => resolve(client));
  });
}

/** A socket to an address that never ends its own side, and reads only on demand. */
export function openRaw(address: string): Socket {
  const { hostname, port } = new URL(address);
  const socket = connectTcp({ host: hostname, port: Number(port), allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** The same after the WebSocket handshake, if any, with a function that makes a WebSocket frame of bytes if needed. */
export async function openRawTransport(
  address: string,
): Promise<{ readonly socket: Socket; framed(bytes: Uint8Array): Uint8Array }> {
  const socket = openRaw(address);
  if (address.startsWith("tcp:")) return { socket, framed: (bytes) => bytes };
  const lines = [
    `GET ${new URL(address).pathname} HTTP/1.1`,
    "Host: x",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol: mqtt",
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  await once(socket, "data");
  // The mask is zero.
  return {
    socket,
    framed: (bytes) => concat(Uint8Array.of(0x82, 0x80 | bytes.length, 0, 0, 0, 0), bytes),
  };
}
