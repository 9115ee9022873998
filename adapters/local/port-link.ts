/**
 * Bytes over a MessagePort, either end. postMessage never says that it is full, so each end gives the
 * other credit: it sends no more than WINDOW_BYTES that were not yet taken.
 *
 * Messages: an ArrayBuffer is bytes, moved and not copied; a number is bytes taken, so many more may be
 * sent; null is the end, of both directions.
 */
import { ConfigError } from "../../core/mod.ts";
import { queueMicrotask } from "../captured.ts";
import { isObject } from "../checks.ts";

/** What is asked of a port: a MessagePort of a browser, Node, Bun or Deno has it. */
export interface BytePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: string, listener: (event: Event) => void): void;
  start(): void;
  close(): void;
}

/** Now, and not when the broker comes to it. */
export function checkPort(port: unknown): asserts port is BytePort {
  const given = isObject(port) ? port : {};
  const isPort = ["postMessage", "addEventListener", "start", "close"].every(
    (name) => typeof given[name] === "function",
  );
  if (!isPort) throw new ConfigError("port", port, "a MessagePort");
}

/** What a link tells its owner. */
export interface LinkOwner {
  /** The chunk is the owner's. False: bring no more until `resume`. */
  handleBytes(chunk: Uint8Array): boolean;
  /** All that was given to `send` has gone out. */
  handleDrained(): void;
  /** The link is gone: once, whoever ended it, and not from within a call. */
  handleEnd(end: LinkEnd): void;
}

/** Who ended it: this end, the other in order, or a port that closed or did not keep to the rules. */
export type LinkEnd = "here" | "there" | "broken";

export class PortLink {
  readonly #port: BytePort;
  readonly #owner: LinkOwner;
  /** Bytes that may be sent before the other end takes some. */
  #credit = WINDOW_BYTES;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #queuedBytes = 0;
  /** What came while the owner takes none. */
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** Bytes taken that the other end was not told of. */
  #taken = 0;
  #isPaused = false;
  #isClosing = false;
  #isGone = false;
  /** How it ends once what came before has been taken. */
  #ending: LinkEnd | null = null;

  constructor(port: BytePort, owner: LinkOwner) {
    this.#port = port;
    this.#owner = owner;
    port.addEventListener("message", (event) =>
      this.#received((event as Event & { readonly data: unknown }).data),
    );
    port.addEventListener("messageerror", () => this.#end("broken"));
    // Where there is such an event: elsewhere a page that vanished is found by its keep alive.
    port.addEventListener("close", () => this.#endAfterHeld("broken"));
    port.start();
  }

  /** Bytes given to `send` that wait for credit. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Sends as far as there is credit and keeps the rest. Copies: `bytes` is the caller's again at once. */
  send(bytes: Uint8Array): void {
    if (this.#isGone || this.#isClosing) return;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES_MAX) {
      const piece = new Uint8Array(bytes.subarray(at, at + PIECE_BYTES_MAX));
      this.#queue.push(piece);
      this.#queuedBytes += piece.length;
    }
    this.#flush();
  }

  /** Brings again what comes, beginning with what came meanwhile. */
  resume(): void {
    this.#isPaused = false;
    if (this.#held.length > 0) queueMicrotask(() => this.#deliverHeld());
  }

  /** Ends the link once what was sent has gone out. */
  close(): void {
    this.#isClosing = true;
    if (this.#queue.length === 0) this.#end("here");
  }

  /** Ends it now. */
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
    if (message === null) this.#endAfterHeld("there");
    else if (typeof message === "number" && message > 0) {
      this.#credit = Math.min(WINDOW_BYTES, this.#credit + message);
      this.#flush();
    } else if (message instanceof ArrayBuffer) this.#take(new Uint8Array(message));
    else this.#end("broken");
  }

  #take(chunk: Uint8Array): void {
    if (!this.#isPaused && this.#held.length === 0) {
      this.#deliver(chunk);
      return;
    }
    this.#heldBytes += chunk.length;
    // It sent more than it was given: whoever does that is cut off, not stored.
    if (this.#heldBytes > WINDOW_BYTES || chunk.length === 0) this.#end("broken");
    else this.#held.push(chunk);
  }

  #deliver(chunk: Uint8Array): void {
    this.#taken += chunk.length;
    this.#isPaused = !this.#owner.handleBytes(chunk);
    // Told in quarters: few messages, and the other end never runs dry while this one takes.
    if (this.#taken < WINDOW_BYTES / 4 || this.#isGone) return;
    this.#port.postMessage(this.#taken, []);
    this.#taken = 0;
  }

  #deliverHeld(): void {
    while (this.#held.length > 0 && !this.#isPaused && !this.#isGone) {
      const chunk = this.#held.shift()!;
      this.#heldBytes -= chunk.length;
      this.#deliver(chunk);
    }
    if (this.#held.length === 0 && this.#ending !== null) this.#end(this.#ending);
  }

  /** What came before the end is brought before it. */
  #endAfterHeld(end: LinkEnd): void {
    this.#ending ??= end;
    if (this.#held.length === 0) this.#end(this.#ending);
  }

  #end(end: LinkEnd): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#queue.length = 0;
    this.#held.length = 0;
    this.#queuedBytes = 0;
    if (end !== "there") this.#port.postMessage(null, []);
    this.#port.close();
    queueMicrotask(() => this.#owner.handleEnd(end));
  }
}

/** Enough that both ends are busy at once, and little enough for thousands of ports. */
const WINDOW_BYTES = 262_144;
const PIECE_BYTES_MAX = 65_536;
