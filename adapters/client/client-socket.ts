/** The transport of a client within the process: packets of one turn in one chunk, and never a call from within. */
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, joined, NO_CONN } from "../../core/mod.ts";
import { connInfo } from "../broker-server.ts";
import { queueMicrotask } from "../captured.ts";
import type { HostSocket, TransportHost } from "../host.ts";

/** What a client hears of its transport; never while it says something itself. */
export interface ClientEnd {
  /** `bytes` are the client's from now on. */
  received(bytes: Uint8Array): void;
  /** Nothing comes any more. */
  ended(): void;
}

export class ClientSocket implements HostSocket {
  readonly #host: TransportHost;
  readonly #end: ClientEnd;
  readonly #conn: ConnId;
  #incoming: Uint8Array[] = [];
  #outgoing: Uint8Array[] = [];
  /** Called once what was sent before has been taken. */
  #taken: (() => void)[] = [];
  #isFlushing = false;
  #isDelivering = false;
  /** The broker said that it reads no more for now. */
  #isBlocked = false;
  /** Ends once all that was sent has been taken. */
  #isEnding = false;
  #isGone = false;

  constructor(host: TransportHost, end: ClientEnd) {
    this.#host = host;
    this.#end = end;
    this.#conn = host.open(this, connInfo("local", "local"));
    if (this.#conn === NO_CONN) {
      this.#isGone = true;
      this.#deliver();
    }
  }

  /** Sends `packet` with what else is sent in this turn; `taken` is called once the broker has it. */
  send(packet: Uint8Array, taken?: () => void): void {
    if (this.#isGone || this.#isEnding) return;
    this.#outgoing.push(packet);
    if (taken !== undefined) this.#taken.push(taken);
    this.#flush();
  }

  /** Ends the transport once what was sent has been taken. */
  finish(): void {
    this.#isEnding = true;
    this.#flush();
  }

  /** Ends it now, as a transport that breaks. */
  cut(): void {
    this.#gone(CloseCause.Error);
  }

  write(out: OutBuffer): boolean {
    if (this.#isGone) return true;
    // Copies: the buffer is the broker's again at once.
    if (out.length > 0) this.#incoming.push(out.bytes.slice(0, out.length));
    if (out.tail !== null) this.#incoming.push(new Uint8Array(out.tail));
    this.#deliver();
    return true;
  }

  resume(): void {
    this.#isBlocked = false;
    this.#flush();
  }

  close(): void {
    this.#gone(CloseCause.Asked);
  }

  abort(): void {
    this.#gone(CloseCause.Asked);
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
    while (!this.#isGone && !this.#isBlocked && this.#outgoing.length > 0) {
      let count = 0;
      for (let bytes = 0; bytes < CHUNK_BYTES && count < this.#outgoing.length; count++) {
        bytes += this.#outgoing[count]!.length;
      }
      const chunk = joined(this.#outgoing.splice(0, count));
      const isLast = this.#outgoing.length === 0;
      this.#isBlocked = !this.#host.bytes(this.#conn, chunk);
      if (isLast) for (const taken of this.#taken.splice(0)) taken();
    }
    if (this.#isEnding && this.#outgoing.length === 0) this.#gone(CloseCause.Ended);
  }

  /** Later: the broker is the one who calls, and is not called from within. */
  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    queueMicrotask(() => {
      this.#isDelivering = false;
      for (const bytes of this.#incoming.splice(0)) this.#end.received(bytes);
      if (this.#isGone) this.#end.ended();
    });
  }

  #gone(cause: CloseCause): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#outgoing = [];
    queueMicrotask(() => this.#host.closed(this.#conn, cause));
    this.#deliver();
  }
}

/** A chunk is no longer than this and a packet. */
const CHUNK_BYTES = 65_536;
