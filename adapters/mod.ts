/** The exports of every runtime's module in addition to `createBroker`. */
export type { CodecKind } from "../codec-wasm/mod.ts";
export {
  ConfigError,
  type CounterName,
  type DurabilityRule,
  type LimitName,
  type Limits,
  limitTable,
  type QoS,
  Reason,
  reasonName,
} from "../core/mod.ts";
export type { ClientIdentity, ConnectingClient } from "./auth/client-identity.ts";
export type {
  AuthenticationExchange,
  AuthenticationMethod,
  AuthenticationStep,
} from "./auth/method.ts";
export type { PolicyOptions } from "./auth/policy.ts";
export type { Answer, ConnectRefusal, Refusal } from "./auth/refusal.ts";
export { SCRAM_SHA_256, scramMethod } from "./auth/scram.ts";
export type {
  BrokerOptions,
  ListenOptions,
  MessageProperties,
  PublishOptions,
  WebSocketOptions,
} from "./broker-options.ts";
export type { BrokerEvents, BrokerServer } from "./broker-server.ts";
export type { StoreState } from "./commit-loop.ts";
export type { Recorder } from "./record/options.ts";
export type { Store } from "./storage/store.ts";
export type { UpgradeRequest } from "./upgrade-request.ts";
export { version } from "./version.ts";
