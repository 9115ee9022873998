/**
 * The client's end of a MessagePort, as much of a WebSocket as MQTT clients ask for, so that one written
 * for WebSockets needs no change: `mqtt.connect("ws://worker", { createWebsocket: () => portSocket(port) })`.
 */
import { queueMicrotask } from "../captured.ts";
import { checkNoOptions } from "../checks.ts";
import type { BytePort, LinkEnd } from "./port-link.ts";
import { checkPort, PortLink } from "./port-link.ts";

/** What WebSocket has of the same name. Events: open, message (of an ArrayBuffer), close. */
export interface PortSocket extends EventTarget {
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;
  readonly readyState: 0 | 1 | 2 | 3;
  readonly protocol: string;
  /** Always this; setting another changes nothing. */
  binaryType: string;
  /** Bytes given to `send` that the broker has no room for yet. */
  readonly bufferedAmount: number;
  onopen: Handler | null;
  onmessage: Handler | null;
  onclose: Handler | null;
  onerror: Handler | null;
  send(data: ArrayBuffer | Uint8Array): void;
  close(): void;
}

type Handler = (event: never) => void;

/** Opens the client's end; the other end of the channel goes to `servePort` of a broker, before or after. */
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
      // The credit goes back once the client has handled it: a page that is busy is sent no more.
      handleBytes: (chunk) => {
        this.#say("message", { data: chunk.buffer });
        return true;
      },
      handleDrained: () => {},
      handleEnd: (end) => this.#ended(end),
    });
    // Later, once the client listens. Nobody needs to be waited for: a port is open from the start.
    queueMicrotask(() => {
      if (this.readyState !== this.CONNECTING) return;
      this.readyState = this.OPEN;
      this.#say("open", {});
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
    this.#say("close", { code: wasClean ? 1000 : 1006, reason: "", wasClean });
  }

  #say(type: "open" | "message" | "close", fields: object): void {
    // Not every host has CloseEvent.
    const event = Object.assign(new Event(type), fields);
    this.dispatchEvent(event);
    this[`on${type}`]?.(event as never);
  }
}
