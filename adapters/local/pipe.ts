/** A transport without a socket: a pair of byte streams within the process. */
import type { OutBuffer } from "../../core/mod.ts";
import { CloseCause, ConfigError, NO_CONN } from "../../core/mod.ts";
import { queueMicrotask } from "../captured.ts";
import type { DeferringHost } from "../host.ts";
import { connInfo, Transport } from "../transport.ts";

/** The client's end of a transport. Both streams end with the connection. */
export interface BytePipe {
  /** The broker's output. Read it, because the broker holds its output back while the stream is full. */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * The broker's input. It waits while the broker reads no more. Closing the stream ends the connection. If the connection ends
   * otherwise, the stream fails.
   */
  readonly writable: WritableStream<Uint8Array>;
}

/** Opens a transport. If the broker refuses the connection, both streams end at once. */
export function openPipe(host: DeferringHost): BytePipe {
  const transport = new PipeTransport(host);
  return { readable: transport.readable, writable: transport.writable };
}

class PipeTransport extends Transport<DeferringHost> {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #writer!: WritableStreamDefaultController;
  /** The readable stream is full, and the broker knows. */
  #isBlocked = false;
  /** Resolves the waiting write; null: no write waits. */
  #resumeRead: (() => void) | null = null;

  constructor(host: DeferringHost) {
    super(host);
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reader = controller;
        },
        pull: () => this.#pulled(),
        cancel: () => this.#endBoth(CloseCause.Ended),
      },
      { highWaterMark: READ_BYTES_MAX, size: (chunk) => chunk.length },
    );
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#writer = controller;
        // Writes wait for this promise.
        return new Promise<void>((resolve) => host.whenFree(() => resolve(this.#open())));
      },
      write: (chunk) => this.#received(chunk),
      close: () => this.#endReadable(CloseCause.Ended),
      abort: () => this.#endReadable(CloseCause.Error),
    });
  }

  #open(): void {
    if (this.isGone) return;
    if (!this.openConn(connInfo("local", "local"))) this.#endBoth(CloseCause.Asked);
  }

  #received(chunk: unknown): Promise<void> {
    if (!isBytes(chunk)) {
      this.#endReadable(CloseCause.Error);
      throw new ConfigError("chunk", chunk, "a Uint8Array");
    }
    return new Promise((resolve) => {
      this.host.whenFree(() => {
        if (this.isGone || this.host.bytes(this.conn, chunk)) resolve();
        else this.#resumeRead = resolve;
      });
    });
  }

  write(out: OutBuffer): boolean {
    if (this.isGone) return true;
    // Copies, because the broker reuses the buffer at once.
    if (out.length > 0) this.#reader.enqueue(out.bytes.slice(0, out.length));
    if (out.tail !== null) this.#reader.enqueue(new Uint8Array(out.tail));
    this.#isBlocked = (this.#reader.desiredSize ?? 0) <= 0;
    return !this.#isBlocked;
  }

  #pulled(): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.host.whenFree(() => {
      if (!this.isGone) this.host.writable(this.conn, true);
    });
  }

  resume(): void {
    this.#resumeRead?.();
    this.#resumeRead = null;
  }

  protected override cut(): void {
    this.#endBoth(CloseCause.Asked);
  }

  /** Ends the transport and makes writes of the client fail. */
  #endBoth(cause: CloseCause): void {
    this.#endReadable(cause);
    this.#writer.error(new Error(ENDED));
  }

  /** Ends the transport after the client ended the writable stream. */
  #endReadable(cause: CloseCause): void {
    if (this.isGone) return;
    this.isGone = true;
    this.resume();
    try {
      this.#reader.close();
    } catch {
      // The client has cancelled the stream.
    }
    // Deferred, because the driver may have called this method.
    queueMicrotask(() => {
      if (this.conn !== NO_CONN) this.host.closed(this.conn, cause);
    });
  }
}

/** Accepts a Uint8Array of any realm, because tests of applications have several realms. */
function isBytes(chunk: unknown): chunk is Uint8Array {
  return Object.prototype.toString.call(chunk) === "[object Uint8Array]";
}

const ENDED = "the connection has ended";
const READ_BYTES_MAX = 65_536;
