/**
 * A broker that listens nowhere, for clients that speak MQTT themselves: over a pair of byte streams, or over
 * a port from another tab, worker or thread. All that a worker needs that serves a page, and no more.
 */
import type { InnerOptions } from "../broker-options.ts";
import type { Runtime } from "../broker-server.ts";
import { BrokerServer } from "../broker-server.ts";
import { checkNoOptions } from "../checks.ts";
import { OutBuffers } from "../out-buffers.ts";
import { version } from "../version.ts";
import { isSame, webEntropy, webLoop } from "../web-loop.ts";
import type { BytePipe } from "./pipe.ts";
import { openPipe } from "./pipe.ts";
import { openPort } from "./port.ts";
import type { BytePort } from "./port-link.ts";
import { checkPort } from "./port-link.ts";

export type LocalBrokerOptions = InnerOptions;

export class BareBroker extends BrokerServer {
  /** A transport of bytes, for a client that speaks MQTT itself. */
  pipe(...none: readonly []): BytePipe {
    checkNoOptions(none);
    return openPipe(this.driver);
  }

  /**
   * Serves one client at the other end of a MessageChannel, in whatever tab, worker or thread that is;
   * `portSocket` is what the client makes of its end. The port is the broker's from here on.
   */
  servePort(port: BytePort, ...none: readonly []): void {
    checkPort(port);
    checkNoOptions(none);
    this.driver.whenFree(() => openPort(this.driver, port));
  }
}

/** As `createLocalBroker`, without `connect`: a bundle of it is smaller by the client. */
export function createBareBroker(options: LocalBrokerOptions = {}): BareBroker {
  return new BareBroker(localRuntime(), options);
}

/** A runtime of the web's interfaces that listens nowhere. */
export function localRuntime(): Runtime {
  return {
    loop: webLoop,
    out: new OutBuffers().outBuffer(),
    serverName: `sansmq ${version}`,
    entropy: webEntropy,
    isSame,
  };
}
