/**
 * The configuration of a broker. Each limit has a default, a range, a unit and a help text, in one
 * table that the command line, the configuration file and the library all read.
 */
import { nearest } from "./nearest.ts";

/** What an acknowledgement of the messages to some topics promises. */
export interface DurabilityRule {
  /** The topics: a topic filter. */
  readonly filter: string;
  /**
   * When PUBACK and PUBREC are sent: once the message is `stored`, or once it is `received`, without
   * waiting for the store.
   */
  readonly acknowledge: "stored" | "received";
}

export interface BrokerConfig {
  /** Unix time, in milliseconds, at `Millis` zero. */
  readonly epochMillis: number;
  /** The value of `$SYS/broker/version`, for example `sansmq 0.1.0`. */
  readonly serverName: string;
  /**
   * Whether writes are journaled and acknowledgements wait for `handleCommit`. False with the
   * memory store: nothing is recorded, and no reply waits.
   */
  readonly durable: boolean;
  /** The first rule whose filter matches a topic applies. Topics without a rule are `stored`. */
  readonly durability?: readonly DurabilityRule[];
  /**
   * Whether the host answers `Load` effects. Then the bytes of queued messages may leave memory once
   * they are durable. Default: false.
   */
  readonly answersLoads?: boolean;
  /** The Response Information for clients that request it; null: none. */
  readonly responseInformation: string | null;
  readonly limits: Limits;
}

/** A limit: its default, range, unit and meaning. */
export interface LimitSpec {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: "bytes" | "messages" | "ms" | "s" | "count" | "factor" | "switch";
  /** For `--help`: what the limit bounds, and what happens beyond it. */
  readonly help: string;
}

const MiB = 1024 * 1024;
const hour = 3_600_000;
/** The longest configurable time: ten years. */
const timeMax = 87_600 * hour;

const inUnit =
  (unit: LimitSpec["unit"]) =>
  (value: number, min: number, max: number, help: string): LimitSpec => ({
    default: value,
    min,
    max,
    unit,
    help,
  });
const bytes = inUnit("bytes");
const messages = inUnit("messages");
const millis = inUnit("ms");
const seconds = inUnit("s");
const count = inUnit("count");
const factor = inUnit("factor");
const onOff = (value: 0 | 1, help: string): LimitSpec => inUnit("switch")(value, 0, 1, help);

/**
 * Each limit in one row: default, minimum, maximum, help. docs/limits.md says which deployments
 * each default serves and what it may cost. Each row names its type because declarations are
 * emitted without type inference.
 */
// biome-ignore format: it is a table
export const limitTable = {
  // The largest packet of MQTT: a fixed header of five bytes and 268,435,455 more, MQTT 5.0 §2.1.4.
  packetBytesMax: bytes(16 * MiB, 128, 268_435_460,
    "Maximum packet size, including the fixed header") as LimitSpec,
  topicBytesMax: bytes(4096, 16, 65_535,
    "Maximum length of a topic name or filter") as LimitSpec,
  topicLevelsMax: count(128, 1, 65_535,
    "Maximum levels in a topic name or filter") as LimitSpec,
  topicTableBytesMax: bytes(64 * MiB, 65_536, 1024 * MiB,
    "Maximum memory for the cache of topic names. When full, the cache is emptied") as LimitSpec,
  codecBytesMax: bytes(1024 * MiB, 2 * MiB, 4095 * MiB,
    "Maximum memory of the WebAssembly codec, which holds subscriptions and the cache of topic names") as LimitSpec,
  clientIdBytesMax: bytes(1024, 23, 65_535,
    "Maximum length of a client identifier") as LimitSpec,
  clientIdLengthCheck: onOff(0,
    "1 refuses MQTT 3.1 clients unless their identifier has 1 to 23 characters, as MQTT 3.1 requires") as LimitSpec,
  connectionsMax: count(100_000, 1, 1_000_000,
    "Maximum number of open connections") as LimitSpec,
  sessionsMax: count(250_000, 1, 1_000_000,
    "Maximum sessions that outlive their connection, whether their clients are connected or not. Beyond it, new sessions are refused") as LimitSpec,
  subscriptionsPerClientMax: count(100_000, 1, 1_000_000,
    "Maximum subscriptions of one client") as LimitSpec,
  subscriptionsMax: count(2_000_000, 1, 16_000_000,
    "Maximum subscriptions of all clients together") as LimitSpec,
  inflightMax: messages(20, 1, 65_535,
    "Maximum QoS 1 and 2 messages sent to one client and not yet acknowledged by it") as LimitSpec,
  receiveMax: messages(65_535, 1, 65_535,
    "Maximum QoS 1 and 2 messages received from one client and not yet acknowledged. MQTT 5.0 clients get this number as Receive Maximum and are disconnected if they exceed it. The broker stops reading from older clients that reach it") as LimitSpec,
  qosMax: count(2, 0, 2,
    "Maximum QoS for publishing and for subscriptions") as LimitSpec,
  topicAliasMax: count(32, 0, 65_535,
    "Maximum topic aliases that a client may use towards the broker") as LimitSpec,
  topicAliasOutMax: count(64, 0, 65_535,
    "Maximum topic aliases that the broker uses towards a client that accepts them") as LimitSpec,
  keepAliveSecondsMax: seconds(0, 0, 65_535,
    "Maximum keep alive. MQTT 5.0 clients that ask for a longer one or for none get this one; 0 means no maximum") as LimitSpec,
  retainAvailable: onOff(1,
    "0 refuses retained messages") as LimitSpec,
  wildcardAvailable: onOff(1,
    "0 refuses filters with wildcards") as LimitSpec,
  sharedAvailable: onOff(1,
    "0 refuses shared subscriptions") as LimitSpec,
  subscriptionIdAvailable: onOff(1,
    "0 refuses subscription identifiers") as LimitSpec,
  bridgeStateAvailable: onOff(1,
    "0 refuses messages that clients publish to $SYS/broker/connection/+/state, where bridges report their state") as LimitSpec,
  payloadFormatCheck: onOff(0,
    "1 refuses payloads that are declared as UTF-8 text but are not valid UTF-8") as LimitSpec,
  queuedMessagesMax: messages(10_000, 0, 10_000_000,
    "Maximum QoS 1 and 2 messages queued for one session, in memory and in the store. Beyond it, new messages are dropped for that session") as LimitSpec,
  queuedBytesMax: bytes(32 * MiB, 0, 1024 * 1024 * MiB,
    "Maximum bytes of QoS 1 and 2 messages queued for one session, in memory and in the store. Beyond it, new messages are dropped for that session") as LimitSpec,
  queuedBytesInMemoryMax: bytes(128 * MiB, 0, 65_536 * MiB,
    "Memory for the queued messages of sessions that are kept in a store. Beyond it, they stay in the store only, until they are sent") as LimitSpec,
  storeBytesMax: bytes(16_384 * MiB, MiB, 1024 * 1024 * 1024 * MiB,
    "Maximum bytes of messages in the store. Beyond it, new QoS 1 and 2 messages are dropped for sessions that are kept") as LimitSpec,
  queueQos0: onOff(0,
    "1 queues QoS 0 messages for sessions whose client is not connected, 0 drops them") as LimitSpec,
  outputBytesMax: bytes(16 * MiB, 1024, 1024 * MiB,
    "Maximum bytes waiting for a client that does not read. Beyond it, QoS 0 messages to that client are dropped") as LimitSpec,
  stallMillisMax: millis(60_000, 100, timeMax,
    "Maximum time that output waits for a client that does not read. After it, the connection is closed") as LimitSpec,
  messageBytesMax: bytes(512 * MiB, 1 * MiB, 65_536 * MiB,
    "Maximum memory for all messages: queued, retained and in flight. A message counts once, plus 16 bytes for each session that it waits for") as LimitSpec,
  inputBytesMax: bytes(256 * MiB, 1 * MiB, 65_536 * MiB,
    "Maximum memory for partially received packets of all connections") as LimitSpec,
  journalBacklogMax: count(100_000, 1, 16_000_000,
    "Maximum journal writes awaiting commit. Beyond it, the broker stops reading from the clients that caused them") as LimitSpec,
  journalBytesMax: bytes(128 * MiB, MiB, 4096 * MiB,
    "Maximum size of the journal writes awaiting commit. Beyond it, the broker stops reading from the clients that caused them") as LimitSpec,
  storeRetryMillisMax: millis(1000, 10, hour,
    "Maximum pause before the broker tries again to write to a full disk. The pauses grow from 50 ms to this") as LimitSpec,
  storeFullMillisMax: millis(0, 0, timeMax,
    "Maximum time that the broker waits for room on a full disk. After it, the store counts as failed; 0 means no maximum") as LimitSpec,
  retainedMessagesMax: messages(1_000_000, 0, 16_000_000,
    "Maximum retained messages. Beyond it, messages to further topics are not retained") as LimitSpec,
  retainedBytesMax: bytes(256 * MiB, 0, 65_536 * MiB,
    "Maximum bytes of retained messages. Beyond it, messages are not retained") as LimitSpec,
  retainedMillisMax: millis(0, 0, timeMax,
    "Maximum time that a message is retained; 0 means no maximum") as LimitSpec,
  sessionMillisMax: millis(30 * 24 * hour, 0, timeMax,
    "Maximum time that a session is kept while its client is not connected. Sessions of MQTT 3.1 and 3.1.1 with Clean Session 0 are kept for this time. The default is 30 days") as LimitSpec,
  connectMillisMax: millis(10_000, 10, timeMax,
    "Maximum time from opening a connection to its CONNECT") as LimitSpec,
  keepAliveFactor: factor(1.5, 1, 10,
    "The broker disconnects a client that is silent for longer than its keep alive times this factor") as LimitSpec,
  sysMillis: millis(10_000, 0, timeMax,
    "Interval between publishes of $SYS topics; 0 means never") as LimitSpec,
  fanoutSlice: count(4096, 16, 1_000_000,
    "Maximum deliveries of one message in one step. Between steps, the broker does other work") as LimitSpec,
  eventsMax: count(100_000, 0, 1_000_000,
    "Maximum events waiting to be logged or reported. Beyond it, the oldest events are dropped") as LimitSpec,
} as const;

/** The name of a limit. */
export type LimitName = keyof typeof limitTable;

/** The value of every limit. */
export type Limits = { readonly [K in LimitName]: number };

/** The limits in the order of the table. */
export const limitNames: readonly LimitName[] = Object.keys(limitTable) as LimitName[];

/** Replaces a value in a `ConfigError` that may be a password. */
export const HIDDEN: unique symbol = Symbol("the given value");

/**
 * The error for invalid configuration: has the field, the value and the allowed values. If the
 * field may hold a password, the value is `HIDDEN`.
 */
export class ConfigError extends Error {
  readonly field: string;
  readonly value: unknown;
  readonly allowed: string;
  /** `message` replaces the usual text. */
  constructor(field: string, value: unknown, allowed: string, message?: string) {
    // Errors end up in logs, uncaught ones with all their fields.
    const shown = SECRET_FIELD.test(field) && mayBeSecret(value) ? HIDDEN : value;
    super(message ?? `${field}: ${describe(shown)} is not allowed; allowed is ${allowed}`);
    this.name = "ConfigError";
    this.field = field;
    this.value = shown;
    this.allowed = allowed;
  }
}

/**
 * The error for a name that is not in `known`: suggests the nearest name, or gives `advice`
 * instead. `prefix` precedes both names. The value is not shown: it may be a password.
 */
export function unknownName(
  prefix: string,
  name: string,
  value: unknown,
  known: readonly string[],
  advice: string | null = null,
): ConfigError {
  const near = nearest(name, known);
  const allowed = known.map((one) => `${prefix}${one}`).join(", ");
  const suggestion = near === null ? `allowed are ${allowed}` : `did you mean ${prefix}${near}?`;
  const message = `${prefix}${name}: unknown name; ${advice ?? suggestion}`;
  return new ConfigError(`${prefix}${name}`, mayBeSecret(value) ? HIDDEN : value, allowed, message);
}

/**
 * The defaults, overridden by `given`. Throws ConfigError for an unknown name or an invalid value;
 * `prefix` precedes the name in the error.
 */
export function parseLimits(given: Readonly<Record<string, unknown>> = {}, prefix = ""): Limits {
  const limits: Record<string, number> = {};
  for (const name of limitNames) limits[name] = limitTable[name].default;
  // Includes inherited names, such as those of `Object.create(defaults)`.
  for (const name in given) {
    const value = given[name];
    if (!Object.hasOwn(limitTable, name)) throw unknownName(prefix, name, value, limitNames);
    if (value === undefined) continue;
    limits[name] = parseLimit(name as LimitName, value, `${prefix}${name}`);
  }
  return limits as Limits;
}

/** Checks one limit against its range. Throws ConfigError. */
export function parseLimit(name: LimitName, value: unknown, field: string = name): number {
  const spec: LimitSpec = limitTable[name];
  const isNumber = typeof value === "number" && Number.isFinite(value);
  const isWhole = spec.unit === "factor" || Number.isInteger(value);
  if (!isNumber || !isWhole || value < spec.min || value > spec.max) {
    const kind = spec.unit === "factor" ? "a number" : "a whole number";
    const unit = NAMED_UNITS.has(spec.unit) ? ` (${spec.unit})` : "";
    throw new ConfigError(field, value, `${kind} from ${spec.min} to ${spec.max}${unit}`);
  }
  return value;
}

/** Fields that may hold a password, also by mistake. */
const SECRET_FIELD = /password|secret|token|authenticat/i;

/** Whether a value could reveal a secret. Absence reveals nothing. */
function mayBeSecret(value: unknown): boolean {
  return (typeof value === "string" && value !== "") || typeof value === "number";
}

function describe(value: unknown): string {
  if (value === HIDDEN) return "the given value";
  if (typeof value === "string") return JSON.stringify(value);
  // The kind of an object, not its content, which may be empty or longer than a line.
  const isPlain = (typeof value !== "object" && typeof value !== "function") || value === null;
  return isPlain ? String(value) : Object.prototype.toString.call(value);
}

/** The units that an error names. The other units need no name. */
const NAMED_UNITS: ReadonlySet<LimitSpec["unit"]> = new Set(["bytes", "messages", "ms", "s"]);
