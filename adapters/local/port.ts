/** The broker's end of a MessagePort. The client has the other end, in another tab, worker or thread. */
import type { OutBuffer } from "../../core/mod.ts";
import { CloseCause } from "../../core/mod.ts";
import type { Driver } from "../driver.ts";
import { connInfo, Transport } from "../transport.ts";
import type { BytePort, LinkEnd } from "./port-link.ts";
import { PortLink } from "./port-link.ts";

/** Serves the client at the other end of the port. If the broker refuses the connection, the port is closed at once. */
export function openPort(driver: Driver, port: BytePort): void {
  const transport = new PortTransport(driver, port);
  if (!transport.openConn(connInfo("local", "port"))) transport.abort();
}

class PortTransport extends Transport {
  readonly #link: PortLink;
  #isBlocked = false;

  constructor(driver: Driver, port: BytePort) {
    super(driver);
    this.#link = new PortLink(port, {
      handleBytes: (chunk) => driver.bytes(this.conn, chunk),
      handleDrained: () => this.#drained(),
      handleEnd: (end) => this.gone(CAUSES[end]),
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
    this.host.writable(this.conn, true);
  }

  resume(): void {
    this.#link.resume();
  }

  protected override end(): void {
    // The timer is set first, because a link with nothing left to send ends at once.
    this.cutOffLater();
    this.#link.close();
  }

  protected override cut(): void {
    this.#link.abort();
  }
}

const CAUSES: Readonly<Record<LinkEnd, CloseCause>> = {
  here: CloseCause.Asked,
  there: CloseCause.Ended,
  broken: CloseCause.Error,
};
