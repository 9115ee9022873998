/** The options of a broker: their types, their names, and the replacements of options that other brokers have. */
import type { CodecKind } from "../codec-wasm/mod.ts";
import type { LimitName, PropertyValues, QoS } from "../core/mod.ts";
import { limitNames, nearest } from "../core/mod.ts";
import type { PolicyOptions } from "./auth/policy.ts";
import type { Names } from "./options.ts";
import { checkOptions, picked } from "./options.ts";
import type { Recorder } from "./record/options.ts";
import type { Store } from "./storage/store.ts";

export interface ListenOptions {
  /**
   * One address of the machine or several, all on the same port. `localhost` is `127.0.0.1` and `::1`, or the
   * one of the two that the machine has; `::` includes `0.0.0.0`. Default: `localhost`.
   */
  readonly host?: string | readonly string[];
  /** 0 takes a free one. Default: 1883 for TCP, 8083 for WebSocket. */
  readonly port?: number;
}

export interface WebSocketOptions extends ListenOptions {
  /**
   * A path or several; `/sub/*` is all below `/sub`, `/*` any. A slash at the end makes no difference. Default:
   * `/mqtt`.
   */
  readonly path?: string | readonly string[];
}

export interface BrokerOptions extends PolicyOptions {
  /** Where to serve MQTT over TCP; false for nowhere. Default: port 1883 of `localhost`. */
  readonly tcp?: ListenOptions | false;
  /** Where to serve MQTT over WebSocket. Default: nowhere. */
  readonly ws?: WebSocketOptions | false;
  /**
   * Reverse proxies whose `X-Forwarded-For` and `Forwarded` are believed: their addresses, such as `127.0.0.1`, ranges
   * of them, such as `10.0.0.0/8`, or `unix`. A WebSocket client then has its own address instead of theirs. Default:
   * none.
   */
  readonly trustedProxies?: string | readonly string[];
  /** Limits other than the defaults; `limitTable` has the meaning and the range of each. */
  readonly limits?: Readonly<Partial<Record<LimitName, number>>>;
  /** Default: memory. */
  readonly store?: Store;
  /**
   * What finds packets in bytes and subscribers of topics: WebAssembly, TypeScript, or, by default, the
   * faster of the two for each chunk.
   */
  readonly codec?: CodecKind;
  /** What CONNACK tells MQTT 5.0 clients that ask where responses are to go. */
  readonly responseInformation?: string;
  /** Where all clients are sent instead, from the start; `moveClients` does so later. */
  readonly serverReference?: string;
  /** Writes down every input, for a replay of this run: `recorder` of `sansmq/record`. Default: nothing is. */
  readonly record?: Recorder;
}

/** How the program publishes. */
export interface PublishOptions {
  /** Default: 0. */
  readonly qos?: QoS;
  readonly retain?: boolean;
  /** Of MQTT 5.0: those that receivers get, and MessageExpiryInterval. */
  readonly properties?: MessageProperties;
}

/** The properties of a message of the program's own. */
export type MessageProperties = Pick<
  PropertyValues,
  | "PayloadFormatIndicator"
  | "MessageExpiryInterval"
  | "ContentType"
  | "ResponseTopic"
  | "CorrelationData"
  | "UserProperty"
>;

/** The options of a broker that listens nowhere. */
export type InnerOptions = Omit<BrokerOptions, "tcp" | "ws" | "trustedProxies">;

const innerNames: Names<InnerOptions> = {
  ...{ users: true, allowAnonymous: true, authenticate: true, methods: true },
  ...{ authorizePublish: true, authorizeSubscribe: true },
  ...{ limits: true, store: true, codec: true, record: true },
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

/** Of a broker that listens. */
export function checkBrokerOptions(options: unknown): asserts options is BrokerOptions {
  checkOptions("options", options, outerNames, (name) => adviceOn(name, outerNames));
}

/** Of a broker that listens nowhere, which may have options of its own. */
export function checkInnerOptions<T extends InnerOptions>(
  options: unknown,
  names: Names<Omit<T, keyof InnerOptions>>,
): asserts options is T {
  const all = { ...innerNames, ...names } as Names<T>;
  const advice = (name: string): string | null =>
    name === "tcp" || name === "ws"
      ? "this broker listens nowhere; createBroker of sansmq does"
      : adviceOn(name, all);
  checkOptions("options", options, all, advice);
}

/** What is in `options` for the broker within, inherited or not. */
export function innerOptions(options: InnerOptions): InnerOptions {
  return picked<InnerOptions>(options, innerNames);
}

function adviceOn(name: string, names: Readonly<Record<string, true>>): string | null {
  if (Object.hasOwn(elsewhere, name)) return elsewhere[name]!;
  if (nearest(name, Object.keys(names)) !== null) return null;
  const limit = nearest(name, limitNames);
  return limit === null ? null : `did you mean limits.${limit}?`;
}

/** Options of aedes and mosca, of the command, and of servers in general. */
const elsewhere: Readonly<Record<string, string>> = {
  authorizeForward: "use authorizeSubscribe: who may subscribe to a topic receives its messages",
  preConnect:
    "use authenticate: it is told the address, and no client is connected before it answers",
  published: 'use broker.on("published", listener)',
  decodeProtocol: "the protocol is found out from the packets",
  persistence: "use store",
  backend: "use store",
  mq: "there is nothing to use: messages go from client to client in the process",
  concurrency: "there is nothing to use: no client waits for another; see limits.fanoutSlice",
  id: "leave it out: a broker has no identifier",
  heartbeatInterval: "use limits.sysMillis: how often $SYS is published",
  connectTimeout: "use limits.connectMillisMax",
  drainTimeout: "use limits.stallMillisMax",
  keepaliveLimit: "use limits.keepAliveSecondsMax",
  maxClientsIdLength: "use limits.clientIdBytesMax",
  maxInflightInbound: "use limits.receiveMax",
  maxInflightMessages: "use limits.inflightMax",
  queueLimit: "use limits.queuedMessagesMax",
  stats: "use limits.sysMillis: how often $SYS is published",
  host: "use tcp: { host }, and ws: { host }",
  port: "use tcp: { port }",
  path: "use ws: { path }",
  wsPort: "use ws: { port }",
  wsPath: "use ws: { path }",
  trustProxy: "use trustedProxies: the addresses of the proxies",
  http: "use ws, or attachWebSocket of the broker for a server that is there already",
  server: "use attachWebSocket of the broker",
  username: "use users: { name: password }",
  password: "use users: { name: password }",
  logger: 'use broker.on, such as broker.on("refused", listener)',
  logLevel: 'use broker.on, such as broker.on("refused", listener)',
};
