/**
 * A broker without listeners and without a client of its own. It serves MQTT clients over a pair of byte streams, or over a
 * MessagePort from another tab, worker or thread. It is all that a worker needs to serve a page.
 */
import type { InnerOptions } from "../broker-options.ts";
import { BrokerServer } from "../broker-server.ts";
import { checkNoOptions } from "../checks.ts";
import type { Runtime } from "../host.ts";
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
  /** Opens a pair of byte streams for an MQTT client. */
  pipe(...none: readonly []): BytePipe {
    checkNoOptions(none);
    return openPipe(this.driver);
  }

  /**
   * Serves one client at the other end of a MessageChannel, in any tab, worker or thread. The client passes its port to
   * `portSocket`. `port` belongs to the broker.
   */
  servePort(port: BytePort, ...none: readonly []): void {
    checkPort(port);
    checkNoOptions(none);
    this.driver.whenFree(() => openPort(this.driver, port));
  }
}

/** Creates a broker like `createLocalBroker`, but without `connect`, so that a bundle does not contain the client. */
export function createBareBroker(options: LocalBrokerOptions = {}): BareBroker {
  return new BareBroker(localRuntime(), options);
}

/** A runtime on web interfaces, without listeners. */
export function localRuntime(): Runtime {
  return {
    loop: webLoop,
    out: new OutBuffers().outBuffer(),
    serverName: `sansmq ${version}`,
    entropy: webEntropy,
    isSame,
  };
}
