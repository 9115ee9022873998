/** Makes the parts of a broker from its options. */
import { codecKinds, createCodec } from "../codec-wasm/mod.ts";
import type { BrokerConfig, Limits, Policy, Ports, RecoveryCounts } from "../core/mod.ts";
import { Broker, ConfigError, parseLimits } from "../core/mod.ts";
import { ComposedPolicy } from "./auth/policy.ts";
import type { InnerOptions } from "./broker-options.ts";
import { checkInnerOptions } from "./broker-options.ts";
import { unixMillis } from "./captured.ts";
import { checkFunction, checkObject, checkSupplied, checkSwitch, checkText } from "./checks.ts";
import { checkedDurability } from "./durability.ts";
import type { Runtime } from "./host.ts";
import type { RecordedBroker } from "./record/options.ts";
import { memoryStore } from "./storage/memory.ts";
import type { Store } from "./storage/store.ts";

/** A broker that is not driven yet, and what belongs to it. */
export interface Prepared {
  readonly broker: Broker;
  /** The same broker if it is recorded, else null. */
  readonly recording: RecordedBroker | null;
  readonly policy: ComposedPolicy;
  readonly limits: Limits;
  readonly store: Store;
  /** The codec in use, such as `wasm-simd`. */
  readonly codec: string;
  readonly serverReference: string | null;
  /** Null: the store has nothing to recover. */
  readonly recovered: RecoveryCounts | null;
}

/**
 * Prepares a broker whose store has nothing to recover: the memory store, or one without `load`. Throws
 * ConfigError. A broker in a browser without a store needs no more than this.
 */
export function prepareNow(runtime: Runtime, options: InnerOptions): Prepared {
  const prepared = prepareUnrecovered(runtime, options);
  const { store } = prepared;
  if (store.isDurable && store.load !== undefined) {
    throw new ConfigError("store", store, "a store without load; openLocalBroker takes any store");
  }
  return prepared;
}

/** Prepares a broker that has recovered nothing yet. Throws ConfigError. */
export function prepareUnrecovered(runtime: Runtime, options: InnerOptions): Prepared {
  checkInnerOptions<InnerOptions>(options, {});
  const { store = memoryStore(), limits: given = {}, durability: rules = [], record } = options;
  const policy = new ComposedPolicy(options, runtime.isSame);
  checkSupplied("store", store, "commit", "close");
  checkSwitch("store.isDurable", store.isDurable);
  if (store.load !== undefined) checkFunction("store.load", store.load);
  if (store.read !== undefined) checkFunction("store.read", store.read);
  checkObject("limits", given);
  const limits = parseLimits(given, "limits.");
  const durability = checkedDurability("durability", rules, limits);
  if (record !== undefined) checkFunction("record", record);
  const serverReference = checkedText("serverReference", options.serverReference);
  const seed = new Uint32Array(1);
  runtime.entropy(new Uint8Array(seed.buffer));
  const [hashSeed] = seed;
  const { codec: kind = "auto" } = options;
  if (!codecKinds.includes(kind)) throw new ConfigError("codec", kind, codecKinds.join(", "));
  const codec = createCodec(kind, limits, hashSeed!);
  if (codec === null) throw new ConfigError("codec", kind, "auto or ts: WebAssembly is missing");
  const config: BrokerConfig = {
    epochMillis: runtime.epochMillis ?? unixMillis() - runtime.loop.now(),
    serverName: runtime.serverName,
    durable: store.isDurable,
    durability,
    answersLoads: store.isDurable && store.read !== undefined,
    responseInformation: checkedText("responseInformation", options.responseInformation),
    limits,
  };
  const ports: Ports = {
    ingest: codec.ingest,
    topics: codec.topics,
    policy: policy satisfies Policy,
    entropy: runtime.entropy,
    ...(runtime.allocate === undefined ? {} : { allocate: runtime.allocate }),
  };
  const recording = record?.(config, ports, { kind, seed: hashSeed! }) ?? null;
  const broker = recording ?? new Broker(config, ports);
  return {
    ...{ broker, recording, policy, limits, store, codec: codec.ingest.name, serverReference },
    recovered: null,
  };
}

/** A checked string for packets; null: there is none. */
function checkedText(field: string, value: string | undefined): string | null {
  if (value === undefined) return null;
  checkText(field, value);
  return value;
}
