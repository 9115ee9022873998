/**
 * Sends bytes over a MessagePort and receives them, at either end. postMessage has no backpressure, so each end gives the other
 * credit: at most WINDOW_BYTES may be sent before the receiver has read some.
 *
 * Messages: an ArrayBuffer has bytes, which are moved and not copied. A number returns credit for the bytes that were read. Null
 * ends both directions.
 */
import { ConfigError } from "../../core/mod.ts";
import { queueMicrotask } from "../captured.ts";
import { isObject } from "../checks.ts";

/** The used part of a MessagePort, which browsers, Node, Bun and Deno have. */
export interface BytePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: string, listener: (event: Event) => void): void;
  start(): void;
  close(): void;
}

/** Throws ConfigError for a value that is not a port. */
export function checkPort(port: unknown): asserts port is BytePort {
  const given = isObject(port) ? port : {};
  const isPort = ["postMessage", "addEventListener", "start", "close"].every(
    (name) => typeof given[name] === "function",
  );
  if (!isPort) throw new ConfigError("port", port, "a MessagePort");
}

/** The receiver of a link's input and events. */
export interface LinkOwner {
  /** `chunk` belongs to the owner. False: deliver no more until `resume`. */
  handleBytes(chunk: Uint8Array): boolean;
  /** All bytes of `send` have been sent. */
  handleDrained(): void;
  /** The link has ended. Called once, and not within a call of the link. */
  handleEnd(end: LinkEnd): void;
}

/** How a link ended: by this end, by the other end in order, or by a closed port or an invalid message. */
export type LinkEnd = "here" | "there" | "broken";

export class PortLink {
  readonly #port: BytePort;
  readonly #owner: LinkOwner;
  /** Bytes that may be sent before the other end returns credit. */
  #credit = WINDOW_BYTES;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #queuedBytes = 0;
  /** Chunks that arrived while the owner reads none. */
  readonly #inputBacklog: Uint8Array[] = [];
  #backlogBytes = 0;
  /** Bytes that were read and not yet returned as credit. */
  #readBytes = 0;
  #isPaused = false;
  #isClosing = false;
  #isGone = false;
  /** How the link ends when the owner has read the backlog. */
  #ending: LinkEnd | null = null;

  constructor(port: BytePort, owner: LinkOwner) {
    this.#port = port;
    this.#owner = owner;
    port.addEventListener("message", (event) =>
      this.#received((event as Event & { readonly data: unknown }).data),
    );
    port.addEventListener("messageerror", () => this.#end("broken"));
    // Not every host has this event. Without it, the broker detects a page that has vanished by keep alive.
    port.addEventListener("close", () => this.#endAfterBacklog("broken"));
    port.start();
  }

  /** Bytes of `send` that wait for credit. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Sends a copy of `bytes` as far as there is credit, and queues the rest. */
  send(bytes: Uint8Array): void {
    if (this.#isGone || this.#isClosing) return;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES_MAX) {
      const piece = new Uint8Array(bytes.subarray(at, at + PIECE_BYTES_MAX));
      this.#queue.push(piece);
      this.#queuedBytes += piece.length;
    }
    this.#flush();
  }

  /** Resumes the delivery of input, first from the backlog. */
  resume(): void {
    this.#isPaused = false;
    if (this.#inputBacklog.length > 0) queueMicrotask(() => this.#deliverBacklog());
  }

  /** Ends the link when all bytes of `send` have been sent. */
  close(): void {
    this.#isClosing = true;
    if (this.#queue.length === 0) this.#end("here");
  }

  /** Ends the link at once. */
  abort(): void {
    this.#end("here");
  }

  #flush(): void {
    const wasQueued = this.#queue.length > 0;
    while (this.#queue.length > 0 && this.#queue[0]!.length <= this.#credit) {
      const piece = this.#queue.shift()!;
      this.#credit -= piece.length;
      this.#queuedBytes -= piece.length;
      this.#port.postMessage(piece.buffer, [piece.buffer]);
    }
    if (!wasQueued || this.#queue.length > 0) return;
    if (this.#isClosing) this.#end("here");
    else this.#owner.handleDrained();
  }

  #received(message: unknown): void {
    if (this.#isGone) return;
    if (message === null) this.#endAfterBacklog("there");
    else if (typeof message === "number" && message > 0) {
      this.#credit = Math.min(WINDOW_BYTES, this.#credit + message);
      this.#flush();
    } else if (message instanceof ArrayBuffer) this.#handleChunk(new Uint8Array(message));
    else this.#end("broken");
  }

  #handleChunk(chunk: Uint8Array): void {
    if (!this.#isPaused && this.#inputBacklog.length === 0) {
      this.#deliver(chunk);
      return;
    }
    this.#backlogBytes += chunk.length;
    // A sender that exceeds its credit is cut off, so that the backlog is bounded.
    if (this.#backlogBytes > WINDOW_BYTES || chunk.length === 0) this.#end("broken");
    else this.#inputBacklog.push(chunk);
  }

  #deliver(chunk: Uint8Array): void {
    this.#readBytes += chunk.length;
    this.#isPaused = !this.#owner.handleBytes(chunk);
    // Credit is returned in quarters of the window: few messages, and the sender does not run out of credit while this end reads.
    if (this.#readBytes < WINDOW_BYTES / 4 || this.#isGone) return;
    this.#port.postMessage(this.#readBytes, []);
    this.#readBytes = 0;
  }

  #deliverBacklog(): void {
    while (this.#inputBacklog.length > 0 && !this.#isPaused && !this.#isGone) {
      const chunk = this.#inputBacklog.shift()!;
      this.#backlogBytes -= chunk.length;
      this.#deliver(chunk);
    }
    if (this.#inputBacklog.length === 0 && this.#ending !== null) this.#end(this.#ending);
  }

  /** Delivers the backlog before the end. */
  #endAfterBacklog(end: LinkEnd): void {
    this.#ending ??= end;
    if (this.#inputBacklog.length === 0) this.#end(this.#ending);
  }

  #end(end: LinkEnd): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#queue.length = 0;
    this.#inputBacklog.length = 0;
    this.#queuedBytes = 0;
    if (end !== "there") this.#port.postMessage(null, []);
    this.#port.close();
    queueMicrotask(() => this.#owner.handleEnd(end));
  }
}

/** Enough to keep both ends busy, and little enough for thousands of ports. */
const WINDOW_BYTES = 262_144;
const PIECE_BYTES_MAX = 65_536;
