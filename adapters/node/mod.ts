/** sansmq on Node. */
import { randomFillSync, timingSafeEqual } from "node:crypto";
import { createRequire } from "node:module";
import type { BrokerOptions, Runtime } from "../broker-server.ts";
import { BrokerServer } from "../broker-server.ts";
import { nodeLoop, outBuffer } from "./loop.ts";
import { listenTcp } from "./tcp.ts";
import { listenWebSocket } from "./websocket.ts";

export type { CodecKind } from "../../codec-wasm/mod.ts";
export {
  ConfigError,
  type CounterName,
  type LimitName,
  type Limits,
  limitTable,
  type QoS,
  Reason,
  reasonName,
} from "../../core/mod.ts";
export type {
  AuthenticationExchange,
  AuthenticationMethod,
  AuthenticationStep,
} from "../auth/method.ts";
export type { ClientIdentity, PolicyOptions } from "../auth/policy.ts";
export { SCRAM_SHA_256, scramMethod } from "../auth/scram.ts";
export type {
  BrokerEvents,
  BrokerOptions,
  BrokerServer,
  ListenOptions,
  MessageProperties,
  PublishOptions,
  WebSocketOptions,
} from "../broker-server.ts";
export type { Store } from "../storage/store.ts";

/**
 * Starts a broker and resolves once it serves.
 *
 * Rejects with ConfigError where an option is wrong, with Node's error where it cannot listen.
 */
export async function createBroker(options: BrokerOptions = {}): Promise<BrokerServer> {
  const runtime: Runtime = {
    loop: nodeLoop,
    out: outBuffer(),
    serverName: `sansmq ${version}`,
    entropy: (out) => void randomFillSync(out),
    allocate: (byteCount) => new Uint8Array(Buffer.allocUnsafeSlow(byteCount).buffer),
    isSame: (a, b) => a.length === b.length && timingSafeEqual(a, b),
    listenTcp,
    listenWebSocket,
  };
  const server = new BrokerServer(runtime, options);
  await server.listen(runtime, options);
  return server;
}

/** The version of this package. */
export const version: string = packageVersion();

function packageVersion(): string {
  const require = createRequire(import.meta.url);
  return (require("sansmq/package.json") as { version: string }).version;
}
