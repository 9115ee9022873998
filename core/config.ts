/**
 * What a broker is configured with: every limit has a default, a unit and a range, in one table that
 * the command line, the configuration file and the library all read.
 */
import { nearest } from "./nearest.ts";

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

/** Every queue, table, rate and time the broker keeps to. The meanings are in `limitHelp`. */
export type Limits = { readonly [K in LimitName]: number };
export type LimitName =
  | "packetBytesMax"
  | "topicBytesMax"
  | "topicLevelsMax"
  | "topicTableBytesMax"
  | "codecBytesMax"
  | "clientIdBytesMax"
  | "clientIdLengthCheck"
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
  | "bridgeStateAvailable"
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
}

const MiB = 1024 * 1024;
const hour = 3_600_000;
/** The longest time that can be configured: ten years. */
const timeMax = 87_600 * hour;

const inUnit =
  (unit: LimitSpec["unit"]) =>
  (value: number, min: number, max: number): LimitSpec => ({ default: value, min, max, unit });
const bytes = inUnit("bytes");
const messages = inUnit("messages");
const millis = inUnit("ms");
const seconds = inUnit("s");
const count = inUnit("count");
const factor = inUnit("factor");
const onOff = (value: 0 | 1): LimitSpec => inUnit("switch")(value, 0, 1);

/** Default, least and most of each limit. docs/limits.md says whom each default serves and what it may cost. */
export const limitTable: Readonly<Record<LimitName, LimitSpec>> = {
  // Up to the longest packet that MQTT has: 268,435,455 bytes behind a fixed header of five, MQTT 5.0 §2.1.4.
  packetBytesMax: bytes(16 * MiB, 128, 268_435_460),
  topicBytesMax: bytes(4096, 16, 65_535),
  topicLevelsMax: count(128, 1, 65_535),
  topicTableBytesMax: bytes(64 * MiB, 65_536, 1024 * MiB),
  codecBytesMax: bytes(1024 * MiB, 2 * MiB, 4095 * MiB),
  clientIdBytesMax: bytes(1024, 23, 65_535),
  clientIdLengthCheck: onOff(0),
  connectionsMax: count(100_000, 1, 1_000_000),
  sessionsMax: count(250_000, 1, 1_000_000),
  subscriptionsPerClientMax: count(100_000, 1, 1_000_000),
  subscriptionsMax: count(2_000_000, 1, 16_000_000),
  inflightMax: messages(20, 1, 65_535),
  receiveMax: messages(65_535, 1, 65_535),
  qosMax: count(2, 0, 2),
  topicAliasMax: count(32, 0, 65_535),
  topicAliasOutMax: count(64, 0, 65_535),
  keepAliveSecondsMax: seconds(0, 0, 65_535),
  retainAvailable: onOff(1),
  wildcardAvailable: onOff(1),
  sharedAvailable: onOff(1),
  subscriptionIdAvailable: onOff(1),
  bridgeStateAvailable: onOff(1),
  payloadFormatCheck: onOff(0),
  queuedMessagesMax: messages(10_000, 0, 10_000_000),
  queuedBytesMax: bytes(32 * MiB, 0, 1024 * MiB),
  queueQos0: onOff(0),
  outputBytesMax: bytes(16 * MiB, 1024, 1024 * MiB),
  stallMillisMax: millis(60_000, 100, timeMax),
  messageBytesMax: bytes(512 * MiB, 1 * MiB, 65_536 * MiB),
  inputBytesMax: bytes(256 * MiB, 1 * MiB, 65_536 * MiB),
  journalBacklogMax: count(100_000, 1, 16_000_000),
  retainedMessagesMax: messages(1_000_000, 0, 16_000_000),
  retainedBytesMax: bytes(256 * MiB, 0, 65_536 * MiB),
  retainedMillisMax: millis(0, 0, timeMax),
  sessionMillisMax: millis(30 * 24 * hour, 0, timeMax),
  connectMillisMax: millis(10_000, 10, timeMax),
  keepAliveFactor: factor(1.5, 1, 10),
  sysMillis: millis(10_000, 0, timeMax),
  fanoutSlice: count(4096, 16, 1_000_000),
  eventsMax: count(100_000, 0, 1_000_000),
};

export const limitNames: readonly LimitName[] = Object.keys(limitTable) as LimitName[];

/** Stands for a value that a `ConfigError` does not tell, because it may be a password. */
export const HIDDEN: unique symbol = Symbol("what was given");

/**
 * The caller configured something that cannot be: names the field, the value and what is allowed. Of a field that may
 * hold a password the value is `HIDDEN`.
 */
export class ConfigError extends Error {
  readonly field: string;
  readonly value: unknown;
  readonly allowed: string;
  /** `message` in place of the usual one. */
  constructor(field: string, value: unknown, allowed: string, message?: string) {
    // Messages end up in logs, and so do errors that nobody catches, with all that they have.
    const told = SECRET.test(field) && isTelling(value) ? HIDDEN : value;
    super(message ?? `${field}: ${show(told)} is not allowed; allowed is ${allowed}`);
    this.name = "ConfigError";
    this.field = field;
    this.value = told;
    this.allowed = allowed;
  }
}

/**
 * The error for a name that is not one of `known`: names the nearest. `prefix` stands before the name, and before
 * the nearest. `advice` is said instead of the nearest. The value is not shown: it may be a password.
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
  const meant = near === null ? `allowed are ${allowed}` : `did you mean ${prefix}${near}?`;
  const message = `${prefix}${name}: unknown name; ${advice ?? meant}`;
  return new ConfigError(`${prefix}${name}`, isTelling(value) ? HIDDEN : value, allowed, message);
}

/** The defaults, with `given` over them. Throws ConfigError for an unknown name or a bad value. */
export function parseLimits(given: Readonly<Record<string, unknown>> = {}): Limits {
  const limits: Record<string, number> = {};
  for (const name of limitNames) limits[name] = limitTable[name].default;
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(limitTable, name)) throw unknownName("", name, value, limitNames);
    if (value === undefined) continue;
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
    const unit = MEASURES.has(spec.unit) ? ` (${spec.unit})` : "";
    throw new ConfigError(field, value, `${kind} from ${spec.min} to ${spec.max}${unit}`);
  }
  return value;
}

/** Fields where a password may stand, or what was meant to be one. */
const SECRET = /password|secret|token|authenticat/i;

/** Whether a value would tell a secret. That there is none is no secret. */
function isTelling(value: unknown): boolean {
  return (typeof value === "string" && value !== "") || typeof value === "number";
}

function show(value: unknown): string {
  if (value === HIDDEN) return "what was given";
  if (typeof value === "string") return JSON.stringify(value);
  // What it is, not what it says: an object may say nothing, or more than fits a line.
  const isPlain = (typeof value !== "object" && typeof value !== "function") || value === null;
  return isPlain ? String(value) : Object.prototype.toString.call(value);
}

/** The units that say more than the name of the limit does. */
const MEASURES: ReadonlySet<LimitSpec["unit"]> = new Set(["bytes", "messages", "ms", "s"]);
