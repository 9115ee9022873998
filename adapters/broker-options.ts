/** The options of a broker: their types, their names, and the replacements of options that other brokers have. */
import type { CodecKind } from "../codec-wasm/mod.ts";
import type { DurabilityRule, LimitName, PropertyValues, QoS } from "../core/mod.ts";
import { limitNames, nearest } from "../core/mod.ts";
import type { PolicyOptions } from "./auth/policy.ts";
import type { Names } from "./options.ts";
import { checkOptions, picked } from "./options.ts";
import type { Recorder } from "./record/options.ts";
import type { Store } from "./storage/store.ts";

export interface ListenOptions {
  /**
   * One or more addresses of the machine, in an array or separated by commas, all on the same port. `localhost` stands for
   * `127.0.0.1` and `::1`, or for the one of the two that the machine has. A wildcard address replaces the addresses that
   * it includes: `0.0.0.0` every IPv4 address, `::` every address. Default: `localhost`.
   */
  readonly host?: string | readonly string[];
  /** 0 picks a free port. Default: 1883 for TCP, 8083 for WebSocket. */
  readonly port?: number;
}

export interface WebSocketOptions extends ListenOptions {
  /**
   * One or more paths. `/sub/*` matches `/sub` and every path below it, `/*` every path. A slash at the end makes no
   * difference. Default: `/mqtt`.
   */
  readonly path?: string | readonly string[];
}

export interface BrokerOptions extends PolicyOptions {
  /** The listener for MQTT over TCP; false: none. Default: port 1883 of `localhost`. */
  readonly tcp?: ListenOptions | false;
  /** The listener for MQTT over WebSocket. Default: none. */
  readonly ws?: WebSocketOptions | false;
  /**
   * Reverse proxies whose `X-Forwarded-For` and `Forwarded` headers are trusted: addresses such as `127.0.0.1`, ranges
   * such as `10.0.0.0/8`, or `unix`. A WebSocket client behind them then has its own address. Default: none.
   */
  readonly trustedProxies?: string | readonly string[];
  /** Limits that differ from the defaults; `limitTable` has the meaning and the range of each. */
  readonly limits?: Readonly<Partial<Record<LimitName, number>>>;
  /** Default: a store in memory. */
  readonly store?: Store;
  /**
   * When messages at QoS 1 and 2 are acknowledged, by topic: once they are `stored`, or once they are `received`. The first rule
   * whose filter matches the topic applies. Default: none, so that every topic is `stored`. With the memory store no
   * acknowledgement waits.
   */
  readonly durability?: readonly DurabilityRule[];
  /**
   * The implementation that finds packets in bytes and subscribers of topics: WebAssembly, TypeScript, or, by default, the
   * faster of the two for each chunk.
   */
  readonly codec?: CodecKind;
  /** The Response Information in CONNACK for MQTT 5.0 clients that request it. */
  readonly responseInformation?: string;
  /** Refuses all clients from the start and refers them to this server; `moveClients` does so later. */
  readonly serverReference?: string;
  /** Records all input, for a replay of this run: `recorder` of `sansmq/record`. Default: no recording. */
  readonly record?: Recorder;
}

/** The options of a publish by the program. */
export interface PublishOptions {
  /** Default: 0. */
  readonly qos?: QoS;
  readonly retain?: boolean;
  /** MQTT 5.0 properties: those that receivers get, and MessageExpiryInterval. */
  readonly properties?: MessageProperties;
}

/** The properties of a message that the program publishes. */
export type MessageProperties = Pick<
  PropertyValues,
  | "PayloadFormatIndicator"
  | "MessageExpiryInterval"
  | "ContentType"
  | "ResponseTopic"
  | "CorrelationData"
  | "UserProperty"
>;

/** The options of a broker that does not listen. */
export type InnerOptions = Omit<BrokerOptions, "tcp" | "ws" | "trustedProxies">;

const innerNames: Names<InnerOptions> = {
  ...{ users: true, allowAnonymous: true, authenticate: true, methods: true },
  ...{ authorizePublish: true, authorizeSubscribe: true },
  ...{ limits: true, store: true, durability: true, codec: true, record: true },
  ...{ responseInformation: true, serverReference: true },
};
const outerNames: Names<BrokerOptions> = {
  ...innerNames,
  tcp: true,
  ws: true,
  trustedProxies: true,
};

export const tcpNames: Names<ListenOptions> = { host: true, port: true };
export const webSocketNames: Names<WebSocketOptions> = { ...tcpNames, path: true };
export const publishNames: Names<PublishOptions> = { qos: true, retain: true, properties: true };

/** Checks the options of a broker that listens. */
export function checkBrokerOptions(options: unknown): asserts options is BrokerOptions {
  checkOptions("options", options, outerNames, (name) => adviceOn(name, outerNames));
}

/** Checks the options of a broker that does not listen, which may have further options. */
export function checkInnerOptions<T extends InnerOptions>(
  options: unknown,
  names: Names<Omit<T, keyof InnerOptions>>,
): asserts options is T {
  const all = { ...innerNames, ...names } as Names<T>;
  const advice = (name: string): string | null =>
    name === "tcp" || name === "ws"
      ? "this broker does not listen; use createBroker of sansmq"
      : adviceOn(name, all);
  checkOptions("options", options, all, advice);
}

/** The options for the broker without listeners, inherited or not. */
export function innerOptions(options: InnerOptions): InnerOptions {
  return picked<InnerOptions>(options, innerNames);
}

function adviceOn(name: string, names: Readonly<Record<string, true>>): string | null {
  const known = elsewhere.get(name.toLowerCase());
  if (known !== undefined) return known;
  if (nearest(name, Object.keys(names)) !== null) return null;
  const limit = nearest(name, limitNames);
  return limit === null ? null : `did you mean limits.${limit}?`;
}

/** Options of aedes and mosca, of the command, and of servers in general, with their replacements. */
const replacements: Readonly<Record<string, string>> = {
  authorizeForward:
    "use authorizeSubscribe: a client that may subscribe to a topic receives its messages",
  preConnect: "use authenticate: it gets the address, and no client is connected before it answers",
  published: 'use broker.on("published", listener)',
  decodeProtocol: "leave it out: the broker recognises the protocol by the packets",
  persistence: "use store",
  backend: "use store",
  mq: "leave it out: messages are routed within the process",
  concurrency: "leave it out: no client waits for another; see limits.fanoutSlice",
  id: "leave it out: a broker has no identifier",
  heartbeatInterval: "use limits.sysMillis: the interval of $SYS",
  connectTimeout: "use limits.connectMillisMax",
  drainTimeout: "use limits.stallMillisMax",
  keepaliveLimit: "use limits.keepAliveSecondsMax",
  maxClientsIdLength: "use limits.clientIdBytesMax",
  maxInflightInbound: "use limits.receiveMax",
  maxInflightMessages: "use limits.inflightMax",
  queueLimit: "use limits.queuedMessagesMax",
  stats: "use limits.sysMillis: the interval of $SYS",
  host: "use tcp: { host }, and ws: { host }",
  port: "use tcp: { port }",
  path: "use ws: { path }",
  wsPort: "use ws: { port }",
  wsPath: "use ws: { path }",
  trustProxy: "use trustedProxies: the addresses of the proxies",
  http: "use ws, or attachWebSocket of the broker for your own server",
  server: "use attachWebSocket of the broker",
  username: "use users: { name: password }",
  password: "use users: { name: password }",
  passwords: "use users: { name: password }",
  passwd: "use users: { name: password }",
  auth: "did you mean authenticate?",
  logger: 'use broker.on, such as broker.on("refused", listener)',
  logLevel: 'use broker.on, such as broker.on("refused", listener)',
};
/** Replacements by the name in lower case. */
const elsewhere: ReadonlyMap<string, string> = new Map(
  Object.entries(replacements).map(([name, advice]) => [name.toLowerCase(), advice]),
);
