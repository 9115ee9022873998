/** sansmq on Node. */
import { randomFillSync, timingSafeEqual } from "node:crypto";
import type { BrokerOptions } from "../broker-options.ts";
import type { ListeningRuntime } from "../listen.ts";
import { listen } from "../listen.ts";
import { version } from "../version.ts";
import { memoryBytes, webLoop } from "../web-loop.ts";
import { NodeBroker } from "./broker.ts";
import { outBuffer } from "./buffers.ts";
import { listenTcp } from "./tcp.ts";
import { listenWebSocket } from "./websocket.ts";

export * from "../mod.ts";
export type { NodeBroker, Upgrade, UpgradeServer } from "./broker.ts";

/**
 * Starts a broker and resolves once it serves.
 *
 * Rejects with ConfigError where an option is wrong, with Node's error where it cannot listen.
 */
export async function createBroker(options: BrokerOptions = {}): Promise<NodeBroker> {
  const runtime: ListeningRuntime = {
    loop: webLoop,
    out: outBuffer(),
    serverName: `sansmq ${version}`,
    memoryBytes,
    entropy: (out) => void randomFillSync(out),
    allocate: (byteCount) => new Uint8Array(Buffer.allocUnsafeSlow(byteCount).buffer),
    isSame: (a, b) => a.length === b.length && timingSafeEqual(a, b),
    listenTcp,
    listenWebSocket,
  };
  return listen(runtime, options, (inner, proxies) => new NodeBroker(runtime, inner, proxies));
}
