/** sansmq on Deno, by its own TCP connections. */
import type { BrokerOptions } from "../broker-options.ts";
import { BrokerServer } from "../broker-server.ts";
import type { ListeningRuntime } from "../listen.ts";
import { listen } from "../listen.ts";
import { OutBuffers } from "../out-buffers.ts";
import { webRuntime } from "../web-runtime.ts";
import { listenTcp } from "./tcp.ts";
import { listenWebSocket } from "./websocket.ts";

export * from "../mod.ts";

/**
 * Starts a broker and resolves once it serves.
 *
 * Rejects with ConfigError where an option is wrong, with Deno's error where it cannot listen.
 */
export async function createBroker(options: BrokerOptions = {}): Promise<BrokerServer> {
  const buffers = new OutBuffers();
  const runtime: ListeningRuntime = {
    ...webRuntime(buffers),
    listenTcp: async (driver, where) => listenTcp(driver, where, buffers),
    listenWebSocket: async (driver, where, limits) =>
      listenWebSocket(driver, where, limits, buffers),
  };
  return listen(runtime, options, (inner) => new BrokerServer(runtime, inner));
}
