/**
 * What a broker is configured with: every limit has a default, a unit and a range, in one table that
 * the command line, the configuration file and the library all read.
 */
export interface BrokerConfig {
  /** Seeds the choices that need not be secret, so that a run is a function of its inputs. */
  readonly seed: readonly [number, number, number, number];
  /** Unix time, in milliseconds, at `Millis` zero. */
  readonly epochMillis: number;
  /** What `$SYS/broker/version` reads, such as `sansmq 0.1.0`. */
  readonly serverName: string;
  /**
   * Whether writes are journaled, and acknowledgements wait for `handleCommit`. False is the memory
   * store: no record is made and every gate is open at once.
   */
  readonly durable: boolean;
  /** What CONNACK says of where to find responses, to clients that ask; null: nothing. */
  readonly responseInformation: string | null;
  readonly limits: Limits;
}

/** Every queue, table, rate and time the broker keeps to. The meanings are in `limitTable`. */
export type Limits = { readonly [K in LimitName]: number };
export type LimitName =
  | "packetBytesMax"
  | "topicBytesMax"
  | "topicLevelsMax"
  | "topicTableBytesMax"
  | "codecBytesMax"
  | "clientIdBytesMax"
  | "connectionsMax"
  | "sessionsMax"
  | "subscriptionsPerClientMax"
  | "subscriptionsMax"
  | "inflightMax"
  | "receiveMax"
  | "qosMax"
  | "topicAliasMax"
  | "topicAliasOutMax"
  | "keepAliveSecondsMax"
  | "retainAvailable"
  | "wildcardAvailable"
  | "sharedAvailable"
  | "subscriptionIdAvailable"
  | "payloadFormatCheck"
  | "queuedMessagesMax"
  | "queuedBytesMax"
  | "queueQos0"
  | "outputBytesMax"
  | "stallMillisMax"
  | "messageBytesMax"
  | "inputBytesMax"
  | "journalBacklogMax"
  | "retainedMessagesMax"
  | "retainedBytesMax"
  | "retainedMillisMax"
  | "sessionMillisMax"
  | "connectMillisMax"
  | "keepAliveFactor"
  | "sysMillis"
  | "fanoutSlice"
  | "eventsMax";

export interface LimitSpec {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: "bytes" | "messages" | "ms" | "s" | "count" | "factor" | "switch";
  /** One sentence, for `--help` and the documentation. */
  readonly help: string;
}

const MiB = 1024 * 1024;
const hour = 3_600_000;
/** The longest time that can be configured: ten years. */
const timeMax = 87_600 * hour;

export const limitTable: Readonly<Record<LimitName, LimitSpec>> = {
  packetBytesMax: limit(
    1 * MiB,
    128,
    268_435_460,
    "bytes",
    "Longest packet accepted, header included",
  ),
  topicBytesMax: limit(4096, 16, 65_535, "bytes", "Longest topic name or filter"),
  topicLevelsMax: limit(128, 1, 65_535, "count", "Most levels in a topic name or filter"),
  topicTableBytesMax: limit(
    16 * MiB,
    65_536,
    1024 * MiB,
    "bytes",
    "Memory for interned topic names; emptied when full",
  ),
  codecBytesMax: limit(
    1024 * MiB,
    2 * MiB,
    4095 * MiB,
    "bytes",
    "Memory of the WebAssembly codec: subscriptions and interned topic names",
  ),
  clientIdBytesMax: limit(1024, 23, 65_535, "bytes", "Longest client identifier"),
  connectionsMax: limit(100_000, 1, 1_000_000, "count", "Most connections at once"),
  sessionsMax: limit(
    100_000,
    1,
    1_000_000,
    "count",
    "Most sessions that outlive their connection, connected or away; a new one beyond is refused",
  ),
  subscriptionsPerClientMax: limit(1000, 1, 1_000_000, "count", "Most subscriptions of one client"),
  subscriptionsMax: limit(1_000_000, 1, 16_000_000, "count", "Most subscriptions of all clients"),
  inflightMax: limit(
    20,
    1,
    65_535,
    "messages",
    "Most QoS 1 and 2 messages sent to a client and not yet acknowledged by it",
  ),
  receiveMax: limit(
    65_535,
    1,
    65_535,
    "messages",
    "Most messages taken from a client and not yet acknowledged (QoS 1) or released (QoS 2)",
  ),
  qosMax: limit(2, 0, 2, "count", "Highest QoS that clients may publish with and are granted"),
  topicAliasMax: limit(32, 0, 65_535, "count", "Most topic aliases that a client may set"),
  topicAliasOutMax: limit(
    64,
    0,
    65_535,
    "count",
    "Most topic aliases used towards a client that takes them",
  ),
  keepAliveSecondsMax: limit(
    0,
    0,
    65_535,
    "s",
    "Longest keep alive, imposed on MQTT 5.0 clients that ask for more or none; 0 is any",
  ),
  retainAvailable: limit(1, 0, 1, "switch", "0 refuses retained messages"),
  wildcardAvailable: limit(1, 0, 1, "switch", "0 refuses filters with wildcards"),
  sharedAvailable: limit(1, 0, 1, "switch", "0 refuses shared subscriptions"),
  subscriptionIdAvailable: limit(1, 0, 1, "switch", "0 refuses subscription identifiers"),
  payloadFormatCheck: limit(
    0,
    0,
    1,
    "switch",
    "1 refuses payloads that claim to be text and are not UTF-8",
  ),
  queuedMessagesMax: limit(
    10_000,
    0,
    10_000_000,
    "messages",
    "Most QoS 1 and 2 messages waiting for one session; newest dropped beyond",
  ),
  queuedBytesMax: limit(
    8 * MiB,
    0,
    1024 * MiB,
    "bytes",
    "Most bytes of QoS 1 and 2 messages waiting for one session; newest dropped beyond",
  ),
  queueQos0: limit(
    0,
    0,
    1,
    "switch",
    "1 queues QoS 0 messages for sessions that are away, 0 drops them",
  ),
  outputBytesMax: limit(
    8 * MiB,
    1024,
    1024 * MiB,
    "bytes",
    "Most bytes waiting for a reader that takes none; QoS 0 to it is dropped beyond",
  ),
  stallMillisMax: limit(
    30_000,
    100,
    timeMax,
    "ms",
    "How long a reader may take no bytes that wait for it before it is closed",
  ),
  messageBytesMax: limit(
    512 * MiB,
    1 * MiB,
    65_536 * MiB,
    "bytes",
    "Memory for all messages, queued, retained and in flight",
  ),
  inputBytesMax: limit(
    256 * MiB,
    1 * MiB,
    65_536 * MiB,
    "bytes",
    "Memory for packets that have arrived in part, of all connections",
  ),
  journalBacklogMax: limit(
    100_000,
    1,
    16_000_000,
    "count",
    "Most writes waiting for the store; who made them write is not read beyond",
  ),
  retainedMessagesMax: limit(
    1_000_000,
    0,
    16_000_000,
    "messages",
    "Most retained messages; a new topic beyond is not retained",
  ),
  retainedBytesMax: limit(
    256 * MiB,
    0,
    65_536 * MiB,
    "bytes",
    "Most bytes of retained messages; what would exceed it is not retained",
  ),
  retainedMillisMax: limit(0, 0, timeMax, "ms", "How long a message stays retained; 0 is for ever"),
  sessionMillisMax: limit(
    24 * hour,
    0,
    timeMax,
    "ms",
    "How long the session of a client that is away is kept",
  ),
  connectMillisMax: limit(
    10_000,
    10,
    timeMax,
    "ms",
    "How long a new connection may take to send its CONNECT",
  ),
  keepAliveFactor: limit(
    1.5,
    1,
    10,
    "factor",
    "How many times its keep alive a client may be silent before it is closed",
  ),
  sysMillis: limit(10_000, 0, timeMax, "ms", "How often $SYS topics are published; 0 is never"),
  fanoutSlice: limit(4096, 16, 1_000_000, "count", "Most deliveries of one message made in one go"),
  eventsMax: limit(
    10_000,
    0,
    1_000_000,
    "count",
    "Most events kept until they are polled; oldest dropped beyond",
  ),
};

export const limitNames: readonly LimitName[] = Object.keys(limitTable) as LimitName[];

/**
 * The caller configured something that cannot be: names the field, the value and what is allowed.
 */
export class ConfigError extends Error {
  readonly field: string;
  readonly value: unknown;
  readonly allowed: string;
  constructor(field: string, value: unknown, allowed: string) {
    super(`${field}: ${show(value)} is not allowed; allowed is ${allowed}`);
    this.name = "ConfigError";
    this.field = field;
    this.value = value;
    this.allowed = allowed;
  }
}

/** The defaults, with `given` over them. Throws ConfigError for an unknown name or a bad value. */
export function parseLimits(given: Readonly<Record<string, unknown>> = {}): Limits {
  const limits: Record<string, number> = {};
  for (const name of limitNames) limits[name] = limitTable[name].default;
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(limitTable, name)) {
      throw new ConfigError(name, value, `one of ${limitNames.join(", ")}`);
    }
    limits[name] = parseLimit(name as LimitName, value);
  }
  return limits as Limits;
}

/** One limit checked against its range. Throws ConfigError. */
export function parseLimit(name: LimitName, value: unknown, field: string = name): number {
  const spec: LimitSpec = limitTable[name];
  const isNumber = typeof value === "number" && Number.isFinite(value);
  const isWhole = spec.unit === "factor" || Number.isInteger(value);
  if (!isNumber || !isWhole || value < spec.min || value > spec.max) {
    const kind = spec.unit === "factor" ? "a number" : "a whole number";
    const unit =
      spec.unit === "bytes" || spec.unit === "ms" || spec.unit === "s" || spec.unit === "messages"
        ? ` (${spec.unit})`
        : "";
    throw new ConfigError(field, value, `${kind} from ${spec.min} to ${spec.max}${unit}`);
  }
  return value;
}

function limit(
  value: number,
  min: number,
  max: number,
  unit: LimitSpec["unit"],
  help: string,
): LimitSpec {
  return { default: value, min, max, unit, help };
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  // What it is, not what it says: an object may say nothing, or more than fits a line.
  const isPlain = (typeof value !== "object" && typeof value !== "function") || value === null;
  return isPlain ? String(value) : Object.prototype.toString.call(value);
}
