/** sansmq on Deno, with its own TCP connections. */
import type { BrokerOptions } from "../broker-options.ts";
import type { BrokerServer } from "../broker-server.ts";
import { createWebBroker } from "../web-runtime.ts";
import { listenTcp } from "./tcp.ts";
import { listenWebSocket } from "./websocket.ts";

export * from "../mod.ts";

/**
 * Starts a broker and resolves when it serves.
 *
 * Rejects with ConfigError for an invalid option, and with Deno's error if it cannot listen.
 */
export function createBroker(options: BrokerOptions = {}): Promise<BrokerServer> {
  return createWebBroker({ listenTcp, listenWebSocket }, options);
}
