/**
 * What a program asks, checked before anything is done about it: what cannot be is a ConfigError with the
 * field, the value and what is allowed, and the broker never hears of it.
 */
import type { Limits, PropertyName, PropertyPlace, PropertyValues, QoS } from "../core/mod.ts";
import {
  ConfigError,
  encodeProperties,
  encodeUtf8,
  HIDDEN,
  isTopicFilter,
  isTopicName,
  PacketType,
  Property,
  propertyTable,
  sharedFilter,
  unknownName,
} from "../core/mod.ts";

/** A message as it is asked for, with whatever a program in JavaScript may have put there. */
interface AskedMessage {
  readonly topic: unknown;
  readonly payload: unknown;
  readonly qos?: unknown;
  readonly retain?: unknown;
  readonly properties?: unknown;
}

export interface CheckedMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties: PropertyValues;
}

/** A message to be published; `field` names its parts, and is empty where they are arguments themselves. */
export function checkedMessage(
  asked: AskedMessage,
  limits: Limits,
  field = "",
  place: PropertyPlace = PacketType.Publish,
): CheckedMessage {
  const { topic, payload, qos = 0, retain = false, properties = {} } = asked;
  checkTopic(`${field}topic`, topic, limits);
  const bytes = checkedBytes(`${field}payload`, payload, PAYLOAD_BYTES_MAX);
  checkQoS(`${field}qos`, qos);
  checkSwitch(`${field}retain`, retain);
  checkProperties(properties, place, RECEIVERS_OWN, `${field}properties`);
  return { topic, payload: bytes, qos, retain, properties };
}

export function checkTopic(
  field: string,
  value: unknown,
  { topicBytesMax, topicLevelsMax }: Limits,
): asserts value is string {
  const bytes = isText(value) ? encodeUtf8(value) : NO_BYTES;
  if (!isTopicName(bytes, 0, bytes.length, topicBytesMax, topicLevelsMax)) {
    throw new ConfigError(field, value, "a topic name within the limits, without wildcards");
  }
}

export function checkFilter(
  field: string,
  value: unknown,
  { topicBytesMax, topicLevelsMax }: Limits,
): asserts value is string {
  // None is empty.
  const text = isText(value) ? value : "";
  const bytes = encodeUtf8(text);
  const isFilter = isTopicFilter(bytes, 0, bytes.length, topicBytesMax, topicLevelsMax);
  if (!isFilter || (text.startsWith("$share/") && sharedFilter(text) === null)) {
    throw new ConfigError(field, value, "a valid topic filter within the limits");
  }
}

/** The bytes of a text, or bytes as they are: a payload is no string of MQTT's, and may be any text. */
export function checkedBytes(field: string, value: unknown, bytesMax: number): Uint8Array {
  const bytes = typeof value === "string" ? encodeUtf8(value) : value;
  if (!(bytes instanceof Uint8Array))
    throw new ConfigError(field, value, "a Uint8Array or a string");
  if (bytes.length > bytesMax) {
    throw new ConfigError(field, `${bytes.length} bytes`, `up to ${bytesMax} bytes`);
  }
  return bytes;
}

/** A UTF-8 string as MQTT has them. */
export function checkText(
  field: string,
  value: unknown,
  bytesMax: number = FIELD_BYTES_MAX,
): asserts value is string {
  if (isText(value) && encodeUtf8(value).length <= bytesMax) return;
  const allowed = `a string of at most ${bytesMax} bytes without U+0000 and lone surrogates`;
  throw new ConfigError(field, value, allowed);
}

/** Half a pair of surrogates has no UTF-8, and would go out as another character [MQTT-1.5.4-1] [MQTT-1.5.4-2]. */
function isText(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0") && !/\p{Surrogate}/u.test(value);
}

export function checkQoS(field: string, value: unknown): asserts value is QoS {
  if (value !== 0 && value !== 1 && value !== 2) throw new ConfigError(field, value, "0, 1 or 2");
}

export function checkSwitch(field: string, value: unknown): asserts value is boolean {
  if (typeof value !== "boolean") throw new ConfigError(field, value, "true or false");
}

export function checkWhole(
  field: string,
  value: unknown,
  min: number,
  max: number,
): asserts value is number {
  if (isWhole(value, min, max)) return;
  throw new ConfigError(field, value, `a whole number from ${min} to ${max}`);
}

export function isWhole(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

export function checkFunction(field: string, value: unknown): void {
  if (typeof value !== "function") throw new ConfigError(field, value, "a function");
}

/** What the program supplies: an object, or whatever else has functions by these names. */
export function checkSupplied(field: string, value: unknown, ...names: readonly string[]): void {
  if (typeof value !== "function" && !isObject(value))
    throw new ConfigError(field, value, "an object");
  for (const name of names) {
    checkFunction(`${field}.${name}`, (value as Readonly<Record<string, unknown>>)[name]);
  }
}

/** An object whose entries have names: a Map would look as if it had none, and a promise not waited for too. */
/** A text or several, as a list, each with commas between as many as there are. */
export function listOf(field: string, value: unknown, allowed: string): readonly string[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (given.length === 0) throw new ConfigError(field, "[]", allowed);
  return given.flatMap((text) => {
    if (typeof text !== "string") throw new ConfigError(field, text, allowed);
    return text.split(",").map((one) => one.trim());
  });
}

export function checkObject(field: string, value: unknown): asserts value is object {
  if (!isObject(value)) throw new ConfigError(field, value, "an object");
  if (Symbol.iterator in value) {
    throw new ConfigError(field, value, "a plain object; convert a Map with Object.fromEntries");
  }
  if (typeof value["then"] === "function") {
    throw new ConfigError(field, value, "an object, not a promise");
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** User name → password. */
export function checkUsers(users: unknown): asserts users is Readonly<Record<string, string>> {
  // A text there may be a name with its password.
  if (typeof users === "string") throw new ConfigError("users", HIDDEN, "an object");
  checkObject("users", users);
  for (const [name, password] of Object.entries(users)) {
    checkText("users", name);
    // A missing password would be the empty one.
    if (typeof password !== "string") {
      throw new ConfigError("users", name, "a user name whose password is a string");
    }
  }
}

/** Properties that may stand at `place` and are not `reserved`, each of its type and in its range. */
export function checkProperties(
  values: unknown,
  place: PropertyPlace,
  reserved: readonly PropertyName[] = [],
  field = "properties",
): asserts values is PropertyValues {
  checkObject(field, values);
  const entries = Object.entries(values) as [PropertyName, unknown][];
  if (entries.length === 0) return;
  const allowed = propertyTable.flatMap((spec) =>
    spec !== null && ((spec.places >>> place) & 1) !== 0 && !reserved.includes(spec.name)
      ? [spec.name]
      : [],
  );
  for (const [name, value] of entries) {
    if (!Object.hasOwn(Property, name)) throw unknownName(`${field}.`, name, value, allowed);
    if (value === undefined) continue;
    if (!allowed.includes(name)) throw new ConfigError(field, name, allowed.join(", "));
    checkProperty(`${field}.${name}`, name, value);
  }
  const byteCount = encodeProperties(values).length;
  if (byteCount > PROPERTIES_BYTES_MAX) {
    throw new ConfigError(field, `${byteCount} bytes`, `up to ${PROPERTIES_BYTES_MAX} bytes`);
  }
}

function checkProperty(field: string, name: PropertyName, value: unknown): void {
  const { type, min, max, isTopicName } = propertyTable[Property[name]]!;
  if (type.fields === 0) {
    checkWhole(field, value, min, max);
  } else if (type.fields === 2) {
    const isPair = (pair: unknown): boolean => Array.isArray(pair) && pair.length === 2;
    if (!Array.isArray(value) || !value.every(isPair)) {
      throw new ConfigError(field, value, "a list of pairs of strings");
    }
    for (const text of value.flat() as unknown[]) checkText(field, text);
  } else if (type.isText) {
    checkText(field, value);
    if (isTopicName && !/^[^+#]+$/.test(value)) {
      // [MQTT-3.3.2-14] [MQTT-4.7.3-1]
      throw new ConfigError(field, value, "a topic name, not empty and without wildcards");
    }
  } else if (!(value instanceof Uint8Array) || value.length > FIELD_BYTES_MAX) {
    throw new ConfigError(field, value, `a Uint8Array of at most ${FIELD_BYTES_MAX} bytes`);
  }
}

/** Those of a PUBLISH that are written for each receiver, and what a will has beside its properties. */
const RECEIVERS_OWN: readonly PropertyName[] = [
  ...(["TopicAlias", "SubscriptionIdentifier", "WillDelayInterval"] as const),
];
/** Of a text or binary field. */
export const FIELD_BYTES_MAX = 65_535;
/** Together with the longest payload and the longest topic they make a packet that is not too long. */
const PROPERTIES_BYTES_MAX = 900_000;
/** What any packet holds beside the longest topic and long properties. */
const PAYLOAD_BYTES_MAX = 268_435_455 - 1024 * 1024;
const NO_BYTES = new Uint8Array(0);
