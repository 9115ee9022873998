/**
 * The client's end of a MessagePort. It has the part of WebSocket's interface that MQTT clients use, so that a client for
 * WebSockets needs no change: `mqtt.connect("ws://worker", { createWebsocket: () => portSocket(port) })`.
 */
import { queueMicrotask } from "../captured.ts";
import { checkNoOptions } from "../checks.ts";
import type { BytePort, LinkEnd } from "./port-link.ts";
import { checkPort, PortLink } from "./port-link.ts";

/** The members of WebSocket with the same names. Events: open, message (with an ArrayBuffer), close. */
export interface PortSocket extends EventTarget {
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;
  readonly readyState: 0 | 1 | 2 | 3;
  readonly protocol: string;
  /** Data is always an ArrayBuffer; setting this has no effect. */
  binaryType: string;
  /** Bytes of `send` that wait because the broker has no room for them. */
  readonly bufferedAmount: number;
  onopen: Handler | null;
  onmessage: Handler | null;
  onclose: Handler | null;
  onerror: Handler | null;
  send(data: ArrayBuffer | Uint8Array): void;
  close(): void;
}

type Handler = (event: never) => void;

/** Opens the client's end. The other port of the channel goes to `servePort` of a broker, before or after. */
export function portSocket(port: BytePort, ...none: readonly unknown[]): PortSocket {
  checkPort(port);
  checkNoOptions(none);
  return new LinkedSocket(port);
}

class LinkedSocket extends EventTarget implements PortSocket {
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;
  readonly protocol = "mqtt";
  readyState: 0 | 1 | 2 | 3 = 0;
  binaryType = "arraybuffer";
  onopen: Handler | null = null;
  onmessage: Handler | null = null;
  onclose: Handler | null = null;
  onerror: Handler | null = null;
  readonly #link: PortLink;

  constructor(port: BytePort) {
    super();
    this.#link = new PortLink(port, {
      // Credit is returned after the client has handled the data, so a busy page gets no more.
      handleBytes: (chunk) => {
        this.#dispatch("message", { data: chunk.buffer });
        return true;
      },
      handleDrained: () => {},
      handleEnd: (end) => this.#ended(end),
    });
    // Deferred until the client has set its listeners. There is nothing else to wait for, because a port is always open.
    queueMicrotask(() => {
      if (this.readyState !== this.CONNECTING) return;
      this.readyState = this.OPEN;
      this.#dispatch("open", {});
    });
  }

  get bufferedAmount(): number {
    return this.#link.queuedBytes;
  }

  send(data: ArrayBuffer | Uint8Array): void {
    if (this.readyState === this.CONNECTING) throw new Error("the port is not open yet");
    this.#link.send(data instanceof ArrayBuffer ? new Uint8Array(data) : data);
  }

  close(): void {
    if (this.readyState >= this.CLOSING) return;
    this.readyState = this.CLOSING;
    this.#link.close();
  }

  #ended(end: LinkEnd): void {
    this.readyState = this.CLOSED;
    const wasClean = end !== "broken";
    this.#dispatch("close", { code: wasClean ? 1000 : 1006, reason: "", wasClean });
  }

  #dispatch(type: "open" | "message" | "close", fields: object): void {
    // Not every host has CloseEvent.
    const event = Object.assign(new Event(type), fields);
    this.dispatchEvent(event);
    this[`on${type}`]?.(event as never);
  }
}
