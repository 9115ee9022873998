/** The state that every transport has: its connection, the reason for its end, and the report of the end. */
import type { ConnId, ConnInfo, OutBuffer } from "../core/mod.ts";
import { CloseCause, NO_CONN } from "../core/mod.ts";
import type { Timer } from "./captured.ts";
import { clearTimeout, setTimeout } from "./captured.ts";
import type { HostSocket, TransportHost } from "./host.ts";

export abstract class Transport<Host extends TransportHost = TransportHost> implements HostSocket {
  protected readonly host: Host;
  /** NO_CONN: not yet accepted, or refused. */
  protected conn: ConnId = NO_CONN;
  protected cause: CloseCause = CloseCause.Ended;
  /** The host knows the end of the connection, or will know it soon. It gets no more input. */
  protected isGone = false;
  #cutOff: Timer | undefined;

  constructor(host: Host) {
    this.host = host;
  }

  abstract write(out: OutBuffer): boolean;
  abstract resume(): void;
  /** Ends the transport at once. */
  protected abstract cut(): void;

  /** Ends our side after all written bytes have been sent. Default: at once, if `write` delivers all bytes. */
  protected end(): void {
    this.cut();
  }

  close(): void {
    this.cause = CloseCause.Asked;
    this.end();
  }

  abort(): void {
    this.cause = CloseCause.Asked;
    this.cut();
  }

  /** Opens a connection of the broker. False: the broker refuses it. */
  openConn(info: ConnInfo): boolean {
    this.conn = this.host.open(this, info);
    return this.conn !== NO_CONN;
  }

  /** Cuts the transport off if the peer does not end its side soon. */
  protected cutOffLater(): void {
    this.#cutOff ??= setTimeout(() => this.cut(), CLOSE_MILLIS);
  }

  /** Both sides of the transport have ended. */
  gone(cause: CloseCause = this.cause): void {
    clearTimeout(this.#cutOff);
    this.reportClosed(cause);
  }

  /** Reports the end of the connection to the host, once. The peer's side may still be open. */
  protected reportClosed(cause: CloseCause): void {
    if (this.isGone) return;
    this.isGone = true;
    if (this.conn !== NO_CONN) this.host.closed(this.conn, cause);
  }
}

/** The information about a transport's peer. */
export function connInfo(transport: ConnInfo["transport"], remote: string): ConnInfo {
  return { transport, remote, peer: null };
}

/** Maximum time for a peer to end its side after we ended ours. */
const CLOSE_MILLIS = 2000;
