/** The part of a runtime that Bun and Deno share: all of it except the listeners. */
import type { Limits } from "../core/mod.ts";
import type { BrokerOptions } from "./broker-options.ts";
import type { Listener } from "./broker-server.ts";
import { BrokerServer } from "./broker-server.ts";
import type { Driver } from "./driver.ts";
import type { ListenAddress, ListeningRuntime, WebSocketAddress } from "./listen.ts";
import { listen } from "./listen.ts";
import { OutBuffers } from "./out-buffers.ts";
import { version } from "./version.ts";
import { isSame, memoryBytes, webEntropy, webLoop } from "./web-loop.ts";

/** Opens the listeners of a runtime. Both methods throw the runtime's error if it cannot listen. */
export interface WebListeners {
  listenTcp(driver: Driver, at: ListenAddress, buffers: OutBuffers): Listener;
  listenWebSocket(
    driver: Driver,
    at: WebSocketAddress,
    limits: Limits,
    buffers: OutBuffers,
  ): Listener;
}

export async function createWebBroker(
  { listenTcp, listenWebSocket }: WebListeners,
  options: BrokerOptions,
): Promise<BrokerServer> {
  const buffers = new OutBuffers();
  const runtime: ListeningRuntime = {
    loop: webLoop,
    out: buffers.outBuffer(),
    serverName: `sansmq ${version}`,
    memoryBytes,
    entropy: webEntropy,
    isSame,
    listenTcp: async (driver, at) => listenTcp(driver, at, buffers),
    listenWebSocket: async (driver, at, limits) => listenWebSocket(driver, at, limits, buffers),
  };
  return listen(
    runtime,
    options,
    (inner, _, prepared) => new BrokerServer(runtime, inner, prepared),
  );
}
