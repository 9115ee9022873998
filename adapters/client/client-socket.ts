/** The transport of a client within the process. It passes on the packets of one turn in one chunk. */
import type { OutBuffer } from "../../core/mod.ts";
import { CloseCause, joined } from "../../core/mod.ts";
import { queueMicrotask } from "../captured.ts";
import type { TransportHost } from "../host.ts";
import { connInfo, Transport } from "../transport.ts";

/** The receiver of a transport's input and end. It is never called within a call of the transport. */
export interface ClientEnd {
  /** `bytes` belong to the client. */
  received(bytes: Uint8Array): void;
  /** There is no further input. */
  ended(): void;
}

export class ClientSocket extends Transport {
  readonly #client: ClientEnd;
  #incoming: Uint8Array[] = [];
  #outgoing: Uint8Array[] = [];
  /** Called when the broker has read all packets sent so far. */
  #onRead: (() => void)[] = [];
  #isFlushing = false;
  #isDelivering = false;
  /** The broker reads no more until `resume`. */
  #isBlocked = false;
  /** The transport ends when the broker has read all sent packets. */
  #isEnding = false;

  constructor(host: TransportHost, client: ClientEnd) {
    super(host);
    this.#client = client;
    if (this.openConn(connInfo("local", "local"))) return;
    this.isGone = true;
    this.#deliver();
  }

  /** Sends `packet` with the other packets of this turn. `onRead` is called when the broker has read it. */
  send(packet: Uint8Array, onRead?: () => void): void {
    if (this.isGone || this.#isEnding) return;
    this.#outgoing.push(packet);
    if (onRead !== undefined) this.#onRead.push(onRead);
    this.#flush();
  }

  /** Ends the transport when the broker has read all sent packets. */
  finish(): void {
    this.#isEnding = true;
    this.#flush();
  }

  /** Ends the transport at once, as if it had failed. */
  fail(): void {
    this.#endWith(CloseCause.Error);
  }

  write(out: OutBuffer): boolean {
    if (this.isGone) return true;
    // Copies, because the broker reuses the buffer at once.
    if (out.length > 0) this.#incoming.push(out.bytes.slice(0, out.length));
    if (out.tail !== null) this.#incoming.push(new Uint8Array(out.tail));
    this.#deliver();
    return true;
  }

  resume(): void {
    this.#isBlocked = false;
    this.#flush();
  }

  protected override cut(): void {
    this.#endWith(CloseCause.Asked);
  }

  #flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => {
      this.#isFlushing = false;
      this.#send();
    });
  }

  #send(): void {
    while (!this.isGone && !this.#isBlocked && this.#outgoing.length > 0) {
      let count = 0;
      for (let bytes = 0; bytes < CHUNK_BYTES && count < this.#outgoing.length; count++) {
        bytes += this.#outgoing[count]!.length;
      }
      const chunk = joined(this.#outgoing.splice(0, count));
      const isLast = this.#outgoing.length === 0;
      this.#isBlocked = !this.host.bytes(this.conn, chunk);
      if (isLast) for (const onRead of this.#onRead.splice(0)) onRead();
    }
    if (this.#isEnding && this.#outgoing.length === 0) this.#endWith(CloseCause.Ended);
  }

  /** Calls the client later, because the driver may have called this transport, and the client may call the broker. */
  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    queueMicrotask(() => {
      this.#isDelivering = false;
      for (const bytes of this.#incoming.splice(0)) this.#client.received(bytes);
      if (this.isGone) this.#client.ended();
    });
  }

  #endWith(cause: CloseCause): void {
    if (this.isGone) return;
    this.isGone = true;
    this.#outgoing = [];
    queueMicrotask(() => this.host.closed(this.conn, cause));
    this.#deliver();
  }
}

/** Maximum size of a chunk, except for its last packet. */
const CHUNK_BYTES = 65_536;
