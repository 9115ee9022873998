/** A transport with no socket: bytes go to the broker and come back within the process. */
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, ConfigError, NO_CONN } from "../../core/mod.ts";
import { connInfo } from "../broker-server.ts";
import { queueMicrotask } from "../captured.ts";
import type { DeferringHost, HostSocket } from "../host.ts";

/** The client's end. Both streams end with the connection. */
export interface BytePipe {
  /** What the broker sends. Read it: while it is full, the broker keeps back what it can. */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * What the broker is sent. It takes more only as the broker does. Closing it ends the connection; where something
   * else does, it fails.
   */
  readonly writable: WritableStream<Uint8Array>;
}

/** Opens a transport; rejects nobody, but for a broker that takes no more: its streams end at once. */
export function openPipe(host: DeferringHost): BytePipe {
  const transport = new PipeTransport(host);
  return { readable: transport.readable, writable: transport.writable };
}

class PipeTransport implements HostSocket {
  readonly #host: DeferringHost;
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #writer!: WritableStreamDefaultController;
  #conn: ConnId = NO_CONN;
  #isGone = false;
  /** The broker was told that no more is taken. */
  #isBlocked = false;
  /** Ends the wait of a writer that the broker told to stop. */
  #readOn: (() => void) | null = null;

  constructor(host: DeferringHost) {
    this.#host = host;
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
        // What is written before waits for it.
        return new Promise<void>((resolve) => host.whenFree(() => resolve(this.#open())));
      },
      write: (chunk) => this.#received(chunk),
      close: () => this.#end(CloseCause.Ended),
      abort: () => this.#end(CloseCause.Error),
    });
  }

  #open(): void {
    if (this.#isGone) return;
    this.#conn = this.#host.open(this, connInfo("local", "local"));
    if (this.#conn === NO_CONN) this.#endBoth(CloseCause.Asked);
  }

  #received(chunk: unknown): Promise<void> {
    if (!isBytes(chunk)) {
      this.#end(CloseCause.Error);
      throw new ConfigError("chunk", chunk, "a Uint8Array");
    }
    return new Promise((resolve) => {
      this.#host.whenFree(() => {
        if (this.#isGone || this.#host.bytes(this.#conn, chunk)) resolve();
        else this.#readOn = resolve;
      });
    });
  }

  write(out: OutBuffer): boolean {
    if (this.#isGone) return true;
    // Copies: the buffer is the broker's again at once.
    if (out.length > 0) this.#reader.enqueue(out.bytes.slice(0, out.length));
    if (out.tail !== null) this.#reader.enqueue(new Uint8Array(out.tail));
    this.#isBlocked = (this.#reader.desiredSize ?? 0) <= 0;
    return !this.#isBlocked;
  }

  #pulled(): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#host.whenFree(() => {
      if (!this.#isGone) this.#host.writable(this.#conn, true);
    });
  }

  resume(): void {
    this.#readOn?.();
    this.#readOn = null;
  }

  close(): void {
    this.#endBoth(CloseCause.Asked);
  }

  abort(): void {
    this.#endBoth(CloseCause.Asked);
  }

  /** Not by the writer, who is to hear of it. */
  #endBoth(cause: CloseCause): void {
    this.#end(cause);
    this.#writer.error(new Error(ENDED));
  }

  #end(cause: CloseCause): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.resume();
    try {
      this.#reader.close();
    } catch {
      // It was cancelled: there is nobody to tell.
    }
    // Later: the broker may be the one who ends it, and is not called from within.
    queueMicrotask(() => {
      if (this.#conn !== NO_CONN) this.#host.closed(this.#conn, cause);
    });
  }
}

/** Of any realm: tests of applications have several. */
function isBytes(chunk: unknown): chunk is Uint8Array {
  return Object.prototype.toString.call(chunk) === "[object Uint8Array]";
}

const ENDED = "the connection has ended";
const READ_BYTES_MAX = 65_536;
