/** sansmq on Node. */
import { randomFillSync, timingSafeEqual } from "node:crypto";
import type { BrokerOptions } from "../broker-options.ts";
import type { ListeningRuntime } from "../listen.ts";
import { listen } from "../listen.ts";
import { version } from "../version.ts";
import { memoryBytes, webLoop } from "../web-loop.ts";
import { NodeBroker } from "./broker.ts";
import { outBuffers } from "./buffers.ts";
import { listenTcp } from "./tcp.ts";
import { listenWebSocket } from "./websocket.ts";

export * from "../mod.ts";
export type { NodeBroker, Upgrade, UpgradeServer } from "./broker.ts";

/**
 * Starts a broker and resolves when it serves.
 *
 * Rejects with ConfigError for an invalid option, and with Node's error if it cannot listen.
 */
export async function createBroker(options: BrokerOptions = {}): Promise<NodeBroker> {
  const runtime: ListeningRuntime = {
    loop: webLoop,
    out: outBuffers.outBuffer(),
    serverName: `sansmq ${version}`,
    memoryBytes,
    entropy: (out) => void randomFillSync(out),
    allocate: (byteCount) => new Uint8Array(Buffer.allocUnsafeSlow(byteCount).buffer),
    isSame: (a, b) => a.length === b.length && timingSafeEqual(a, b),
    listenTcp,
    listenWebSocket,
  };
  return listen(runtime, options, (...parts) => new NodeBroker(runtime, ...parts));
}
