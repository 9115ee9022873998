/** A MessagePort as a transport of the broker: the page has one end, the broker's tab or worker the other. */
import type { ConnId, OutBuffer } from "../../core/mod.ts";
import { CloseCause, NO_CONN } from "../../core/mod.ts";
import { connInfo } from "../broker-server.ts";
import type { Timer } from "../captured.ts";
import { clearTimeout, setTimeout } from "../captured.ts";
import type { Driver } from "../driver.ts";
import type { HostSocket } from "../host.ts";
import { CLOSE_MILLIS } from "../out-buffers.ts";
import type { BytePort, LinkEnd } from "./port-link.ts";
import { PortLink } from "./port-link.ts";

/** Serves the client at the other end; a broker that takes no more ends it at once. */
export function openPort(driver: Driver, port: BytePort): void {
  const transport = new PortTransport(driver, port);
  transport.conn = driver.open(transport, connInfo("local", "port"));
  if (transport.conn === NO_CONN) transport.abort();
}

class PortTransport implements HostSocket {
  readonly #driver: Driver;
  readonly #link: PortLink;
  conn: ConnId = NO_CONN;
  #isBlocked = false;
  #cutOff: Timer | undefined;

  constructor(driver: Driver, port: BytePort) {
    this.#driver = driver;
    this.#link = new PortLink(port, {
      handleBytes: (chunk) => driver.bytes(this.conn, chunk),
      handleDrained: () => this.#drained(),
      handleEnd: (end) => this.#ended(end),
    });
  }

  write(out: OutBuffer): boolean {
    this.#link.send(out.bytes.subarray(0, out.length));
    if (out.tail !== null) this.#link.send(out.tail);
    this.#isBlocked = this.#link.queuedBytes > 0;
    return !this.#isBlocked;
  }

  #drained(): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#driver.writable(this.conn, true);
  }

  resume(): void {
    this.#link.resume();
  }

  close(): void {
    // Before: what has all gone out ends at once.
    this.#cutOff = setTimeout(() => this.#link.abort(), CLOSE_MILLIS);
    this.#link.close();
  }

  abort(): void {
    this.#link.abort();
  }

  #ended(end: LinkEnd): void {
    clearTimeout(this.#cutOff);
    if (this.conn !== NO_CONN) this.#driver.closed(this.conn, CAUSES[end]);
  }
}

const CAUSES: Readonly<Record<LinkEnd, CloseCause>> = {
  here: CloseCause.Asked,
  there: CloseCause.Ended,
  broken: CloseCause.Error,
};
