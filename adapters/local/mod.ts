/** sansmq within a process, with no socket at all: for tests, for tabs and workers, for one program's own use. */
import type { BrokerOptions, Runtime } from "../broker-server.ts";
import { BrokerServer } from "../broker-server.ts";
import { OutBuffers } from "../out-buffers.ts";
import { version } from "../version.ts";
import { isSame, webEntropy, webLoop } from "../web-loop.ts";
import type { BytePipe } from "./pipe.ts";
import { openPipe } from "./pipe.ts";
import { openPort } from "./port.ts";
import type { BytePort } from "./port-link.ts";

export * from "../mod.ts";
export type { BytePipe } from "./pipe.ts";
export type { BytePort } from "./port-link.ts";
export type { PortSocket } from "./port-socket.ts";
export { portSocket } from "./port-socket.ts";

/** A broker that clients of the same process, tab or browser reach. */
export class LocalBroker extends BrokerServer {
  /** A transport of bytes, for a client that speaks MQTT itself. */
  pipe(): BytePipe {
    return openPipe(this.driver);
  }

  /**
   * Serves one client at the other end of a MessageChannel, in whatever tab, worker or thread that is;
   * `portSocket` is what the client makes of its end. The port is the broker's from here on.
   */
  servePort(port: BytePort): void {
    openPort(this.driver, port);
  }
}

/** Starts a broker that listens nowhere. Throws ConfigError where an option is wrong. */
export function createLocalBroker(options: Omit<BrokerOptions, "tcp" | "ws"> = {}): LocalBroker {
  const none = (): never => {
    throw new Error("a local broker listens nowhere");
  };
  const runtime: Runtime = {
    loop: webLoop,
    out: new OutBuffers().outBuffer(),
    serverName: `sansmq ${version}`,
    entropy: webEntropy,
    isSame,
    listenTcp: none,
    listenWebSocket: none,
  };
  return new LocalBroker(runtime, options);
}
