/** A broker at an address, over TCP or WebSocket. */
import { connect as connectTcp } from "node:net";
import { WebSocket } from "ws";
import type { Target, Transport } from "./harness.ts";

export interface NetworkOptions {
  /** `mqtt://host:port` or `ws://host:port/path`. */
  readonly url: string;
  readonly user: { readonly name: string; readonly password: string } | null;
}

/** How long a packet that is due may take to come. */
const PATIENCE_MILLIS = 10_000;
const NOT_OPENED = "no connection was opened in time";

export function networkTarget({ url, user }: NetworkOptions): Target {
  const { protocol, hostname, port } = new URL(url);
  const isWebSocket = protocol === "ws:" || protocol === "wss:";
  return {
    name: url,
    user,
    patienceMillis: PATIENCE_MILLIS,
    explains: false,
    sleep: (millis) => new Promise((resolve) => setTimeout(resolve, millis)),
    connect: () => (isWebSocket ? openWebSocket(url) : openTcp(hostname, Number(port || 1883))),
  };
}

/** Received bytes that were not read yet. */
class Inbox {
  readonly #chunks: Uint8Array[] = [];
  #isEnded = false;
  #wake: (() => void) | null = null;

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async read(timeoutMillis: number): Promise<Uint8Array | null | "silence"> {
    if (this.#chunks.length === 0 && !this.#isEnded) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMillis);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    return this.#chunks.shift() ?? (this.#isEnded ? null : "silence");
  }
}

function openTcp(host: string, port: number): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const inbox = new Inbox();
    const socket = connectTcp({ host, port, noDelay: true });
    const timer = setTimeout(() => socket.destroy(new Error(NOT_OPENED)), PATIENCE_MILLIS);
    socket.once("error", reject);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.on("error", () => inbox.end());
      resolve({
        send: (bytes) => void socket.write(bytes),
        read: (timeoutMillis) => inbox.read(timeoutMillis),
        cut: () => void socket.destroy(),
      });
    });
    socket.on("data", (chunk) => inbox.push(chunk));
    socket.on("close", () => inbox.end());
  });
}

function openWebSocket(url: string): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const inbox = new Inbox();
    const socket = new WebSocket(url, ["mqtt"], { handshakeTimeout: PATIENCE_MILLIS });
    socket.once("error", reject);
    socket.once("open", () => {
      socket.on("error", () => inbox.end());
      resolve({
        send: (bytes) => socket.send(bytes),
        read: (timeoutMillis) => inbox.read(timeoutMillis),
        cut: () => void socket.terminate(),
      });
    });
    socket.on("message", (data) => inbox.push(data as Buffer));
    socket.on("close", () => inbox.end());
  });
}
