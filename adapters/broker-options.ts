/** The names of a broker's options, and what to use instead of those that other brokers have. */
import { limitNames, nearest } from "../core/mod.ts";
import type {
  BrokerOptions,
  ListenOptions,
  PublishOptions,
  WebSocketOptions,
} from "./broker-server.ts";
import type { Names } from "./options.ts";
import { checkOptions, picked } from "./options.ts";

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
