/** A link between a client and the broker that applies faults. */
import type { CloseCause as Cause, ConnId, ConnInfo, OutBuffer } from "../../core/mod.ts";
import { CloseCause, connectReturnCode, NO_CONN } from "../../core/mod.ts";
import type { DeferringHost, HostSocket } from "../host.ts";
import type { Direction, Faults, FaultyConnection } from "./faults.ts";
import { PacketFilter } from "./packet-filter.ts";

/** For the client it is the broker's end of a transport, and for the broker the client's end. */
export class FaultyLink implements DeferringHost, HostSocket, FaultyConnection {
  readonly #host: DeferringHost;
  readonly #faults: readonly Faults[];
  readonly #handleGone: () => void;
  #socket!: HostSocket;
  #conn: ConnId = NO_CONN;
  /** If the link refuses the connection itself: the reason, and the bytes of CONNECT so far. */
  #refusing: { readonly reason: number; bytes: number[] } | null = null;
  readonly #left: Record<Direction, number>;
  readonly #filters: Readonly<Record<Direction, PacketFilter>>;
  /** The stalled chunks. */
  readonly #stalled: Readonly<Record<Direction, Uint8Array[]>> = { toBroker: [], toClient: [] };
  /** The broker has stopped reading. */
  #isBrokerBusy = false;
  /** The client writes no more. */
  #hasPeerEnded = false;
  /** The client takes no more bytes for now. */
  #isClientBusy = false;
  /** The broker's end is closed, but the stalled client does not know yet. */
  #isEndDelayed = false;
  /** The connection is broken: no bytes pass. */
  #isCut = false;
  #isClosed = false;

  /** `handleGone` is called when no further bytes can pass. */
  constructor(host: DeferringHost, faults: readonly Faults[], handleGone: () => void) {
    this.#host = host;
    this.#handleGone = handleGone;
    this.#faults = faults;
    const least = (direction: Direction): number =>
      Math.min(...faults.map((source) => source.bytesMax(direction)));
    this.#left = { toBroker: least("toBroker"), toClient: least("toClient") };
    const filter = (direction: Direction): PacketFilter =>
      new PacketFilter((type) => faults.some((source) => source.dropsPacket(type, direction)));
    this.#filters = { toBroker: filter("toBroker"), toClient: filter("toClient") };
  }

  get isStalled(): boolean {
    return this.#isStalled("toBroker") || this.#isStalled("toClient");
  }

  open(socket: HostSocket, info: ConnInfo): ConnId {
    this.#socket = socket;
    for (const faults of this.#faults) {
      const refusal = faults.takeRefusal();
      if (refusal === null) continue;
      this.#handleGone();
      if (refusal.reason === null) return NO_CONN;
      this.#refusing = { reason: refusal.reason, bytes: [] };
      return REFUSED;
    }
    this.#conn = this.#host.open(this, info);
    if (this.#conn === NO_CONN) this.#handleGone();
    else for (const faults of this.#faults) faults.attach(this);
    return this.#conn;
  }

  bytes(_conn: ConnId, chunk: Uint8Array): boolean {
    if (this.#refusing !== null) {
      this.#refuse(chunk);
      return true;
    }
    if (this.#isCut || this.#isClosed) return true;
    if (this.#isStalled("toBroker") || this.#isBrokerBusy) {
      this.#stalled.toBroker.push(chunk.slice());
      return false;
    }
    return this.#passToBroker(chunk);
  }

  writable(_conn: ConnId, writable: boolean): void {
    this.#isClientBusy = !writable;
    if (!this.#isClosed && !this.#isStalled("toClient")) this.#host.writable(this.#conn, writable);
  }

  ended(): void {
    this.#hasPeerEnded = true;
    this.#resumeToBroker();
  }

  closed(_conn: ConnId, cause: Cause): void {
    this.#isEndDelayed = false;
    if (this.#refusing === null) this.#reportClosed(cause);
  }

  whenFree(call: () => void): void {
    this.#host.whenFree(call);
  }

  write(out: OutBuffer): boolean {
    if (this.#isCut) return true;
    const bytes = out.bytes.slice(0, out.length);
    const parts = out.tail === null ? [bytes] : [bytes, new Uint8Array(out.tail)];
    if (this.#isStalled("toClient")) {
      this.#stalled.toClient.push(...parts);
      return false;
    }
    return this.#passToClient(parts);
  }

  resume(): void {
    this.#isBrokerBusy = false;
    this.#resumeToBroker();
  }

  close(reason: number): void {
    if (this.#isStalled("toClient")) this.#endLater();
    else this.#socket.close(reason);
  }

  abort(): void {
    if (this.#isStalled("toClient")) this.#endLater();
    else this.#socket.abort();
  }

  cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    this.#isEndDelayed = false;
    // Deferred, because the caller may be the broker.
    void Promise.resolve().then(() => this.#reportClosed(CloseCause.Error));
    this.#socket.abort();
  }

  limit(direction: Direction, bytes: number): void {
    this.#left[direction] = bytes;
  }

  resumeStalled(): void {
    this.whenFree(() => {
      this.#resumeToBroker();
      this.#resumeToClient();
    });
  }

  #resumeToBroker(): void {
    const stalled = this.#stalled.toBroker;
    while (!this.#isStalled("toBroker") && !this.#isBrokerBusy) {
      const chunk = stalled.shift();
      if (chunk === undefined || this.#isClosed) {
        if (this.#hasPeerEnded && !this.#isClosed) this.#host.ended(this.#conn);
        this.#socket.resume();
        return;
      }
      this.#passToBroker(chunk);
    }
  }

  #resumeToClient(): void {
    if (this.#isStalled("toClient") || this.#isCut) return;
    this.#passToClient(this.#stalled.toClient.splice(0));
    if (this.#isEndDelayed) {
      this.#isEndDelayed = false;
      this.#detach();
      this.#socket.close(0);
    } else if (!this.#isClientBusy && !this.#isClosed) {
      this.#host.writable(this.#conn, true);
    }
  }

  /** Passes a chunk to the broker. False: the broker has stopped reading. */
  #passToBroker(chunk: Uint8Array): boolean {
    const bytes = this.#uncut("toBroker", this.#filters.toBroker.filter(chunk));
    this.#isBrokerBusy = bytes.length > 0 && !this.#host.bytes(this.#conn, bytes);
    if (this.#left.toBroker === 0) this.cut();
    return !this.#isBrokerBusy;
  }

  /** Passes bytes to the client. False: the client takes no more bytes for now. */
  #passToClient(parts: readonly Uint8Array[]): boolean {
    for (const part of parts) {
      const bytes = this.#uncut("toClient", this.#filters.toClient.filter(part));
      const out = { bytes, length: bytes.length, tail: null };
      if (bytes.length > 0) this.#isClientBusy = !this.#socket.write(out);
      if (this.#left.toClient > 0) continue;
      this.cut();
      return true;
    }
    return !this.#isClientBusy;
  }

  /** The bytes that pass before the connection breaks. */
  #uncut(direction: Direction, bytes: Uint8Array): Uint8Array {
    const passing = bytes.subarray(0, Math.min(bytes.length, this.#left[direction]));
    this.#left[direction] -= passing.length;
    return passing;
  }

  /** The broker has ended the connection. The client's end closes after `release`. */
  #endLater(): void {
    this.#isEndDelayed = true;
    void Promise.resolve().then(() => this.#reportClosed(CloseCause.Asked));
  }

  #reportClosed(cause: Cause): void {
    if (!this.#isEndDelayed) this.#detach();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#host.closed(this.#conn, cause);
  }

  #detach(): void {
    for (const faults of this.#faults) faults.detach(this);
    this.#handleGone();
  }

  #isStalled(direction: Direction): boolean {
    return this.#faults.some((faults) => faults.isStalled(direction));
  }

  /** Refuses a CONNECT in place of the broker, once its protocol level can be read. */
  #refuse(chunk: Uint8Array): void {
    const { reason, bytes } = this.#refusing!;
    bytes.push(...chunk.subarray(0, CONNECT_BYTES));
    let at = 1;
    while ((bytes[at] ?? 0) >= 0x80) at++;
    const nameBytes = ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const byte = bytes[at + 3 + nameBytes];
    if (byte === undefined) return;
    // The top bit identifies a bridge.
    const level = byte & 0x7f;
    const code = level === 5 ? reason : connectReturnCode(reason as 0x80);
    const connack = Uint8Array.of(...(level === 5 ? [0x20, 3, 0, code, 0] : [0x20, 2, 0, code]));
    // MQTT 3.1.1 has no code for some reasons: then the client gets no CONNACK.
    if (code >= 0) this.#socket.write({ bytes: connack, length: connack.length, tail: null });
    this.#socket.close(reason);
  }
}

/** A connection that the broker does not know. */
const REFUSED = -1 as ConnId;
/** More bytes than there are before the protocol level. */
const CONNECT_BYTES = 16;
