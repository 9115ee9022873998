/**
 * Checks the arguments of a program before they are used. An invalid argument throws a ConfigError with the
 * field, the value and what is allowed, and never reaches the broker.
 */
import type { Limits, PropertyName, PropertyPlace, PropertyValues, QoS } from "../core/mod.ts";
import {
  ConfigError,
  encodeProperties,
  encodeUtf8,
  HIDDEN,
  isTopicFilter,
  isTopicName,
  nearest,
  PacketType,
  Property,
  propertyTable,
  sharedFilter,
  unknownName,
} from "../core/mod.ts";

/** A message as given by the program. Its fields are unknown, because a program in JavaScript may pass anything. */
interface GivenMessage {
  readonly topic: unknown;
  readonly payload: unknown;
  readonly qos?: unknown;
  readonly retain?: unknown;
  readonly properties?: unknown;
}

type TopicLimits = Pick<Limits, "topicBytesMax" | "topicLevelsMax">;

export interface CheckedMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties: PropertyValues;
}

/** Checks a message to be published. `field` is the prefix of the names of its fields, and empty if they are arguments. */
export function checkedMessage(
  given: GivenMessage,
  limits: TopicLimits,
  field = "",
  place: PropertyPlace = PacketType.Publish,
): CheckedMessage {
  const { topic, payload, qos = 0, retain = false, properties = {} } = given;
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
  { topicBytesMax, topicLevelsMax }: TopicLimits,
): asserts value is string {
  const bytes = isText(value) ? encodeUtf8(value) : NO_BYTES;
  if (!isTopicName(bytes, 0, bytes.length, topicBytesMax, topicLevelsMax)) {
    throw new ConfigError(field, value, "a topic name within the limits, without wildcards");
  }
}

export function checkFilter(
  field: string,
  value: unknown,
  { topicBytesMax, topicLevelsMax }: TopicLimits,
): asserts value is string {
  // An empty string is no topic filter.
  const text = isText(value) ? value : "";
  const bytes = encodeUtf8(text);
  const isFilter = isTopicFilter(bytes, 0, bytes.length, topicBytesMax, topicLevelsMax);
  if (!isFilter || (text.startsWith("$share/") && sharedFilter(text) === null)) {
    throw new ConfigError(field, value, "a valid topic filter within the limits");
  }
}

/** The bytes of a string, or the given bytes. A payload is not an MQTT string, so any string is allowed. */
export function checkedBytes(field: string, value: unknown, bytesMax: number): Uint8Array {
  const bytes = typeof value === "string" ? encodeUtf8(value) : value;
  if (!(bytes instanceof Uint8Array))
    throw new ConfigError(field, value, "a Uint8Array or a string");
  if (bytes.length > bytesMax) {
    throw new ConfigError(field, `${bytes.length} bytes`, `up to ${bytesMax} bytes`);
  }
  return bytes;
}

/** Checks a UTF-8 string as MQTT defines it. */
export function checkText(
  field: string,
  value: unknown,
  bytesMax: number = FIELD_BYTES_MAX,
): asserts value is string {
  if (isText(value) && encodeUtf8(value).length <= bytesMax) return;
  const allowed = `a string of at most ${bytesMax} bytes without U+0000 and lone surrogates`;
  throw new ConfigError(field, value, allowed);
}

/** A lone surrogate has no UTF-8 form and would be sent as another character [MQTT-1.5.4-1] [MQTT-1.5.4-2]. */
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

/**
 * Checks an object of the program, such as a store: an object or function with functions of these names. It may have further
 * names, because it may be an instance of a class. For a missing function the error names the misspelt one, if there is one.
 */
export function checkSupplied(field: string, value: unknown, ...names: readonly string[]): void {
  if (typeof value !== "function" && !isObject(value))
    throw new ConfigError(field, value, "an object");
  for (const name of names) {
    const supplied = (value as Readonly<Record<string, unknown>>)[name];
    const near = supplied === undefined ? misspelt(name, value, names) : undefined;
    if (near !== undefined) throw unknownName(`${field}.`, near, HIDDEN, names);
    checkFunction(`${field}.${name}`, supplied);
  }
}

/** A name of the object, its own or inherited from its class, that was probably meant as `name`. */
function misspelt(name: string, value: object, names: readonly string[]): string | undefined {
  for (let at = value; !isRoot(at); at = Object.getPrototypeOf(at) as object) {
    const near = Object.getOwnPropertyNames(at).find((other) => nearest(other, names) === name);
    if (near !== undefined) return near;
  }
  return undefined;
}

/** Whether the prototype chain ends here, with names that every object has. */
function isRoot(value: object): boolean {
  return Object.getPrototypeOf(value) === null;
}

/** Checks a string or an array of strings, and divides each at its commas. */
export function listOf(field: string, value: unknown, allowed: string): readonly string[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (given.length === 0) throw new ConfigError(field, "[]", allowed);
  return given.flatMap((text) => {
    if (typeof text !== "string") throw new ConfigError(field, text, allowed);
    return text.split(",").map((item) => item.trim());
  });
}

/** Checks a plain object. A Map, or a promise that was not awaited, would look like an object without entries. */
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

/** Checks an object of user name → password. */
export function checkUsers(users: unknown): asserts users is Readonly<Record<string, string>> {
  // A string may contain a name and its password.
  if (typeof users === "string") throw new ConfigError("users", HIDDEN, "an object");
  checkObject("users", users);
  // Users within an instance of a class, or inherited ones, would not be found.
  if (!isPlain(users)) throw new ConfigError("users", users, "a plain object");
  for (const [name, password] of Object.entries(users)) {
    checkText("users", name);
    // A missing password would otherwise be the empty password.
    if (typeof password !== "string") {
      throw new ConfigError("users", name, "a user name whose password is a string");
    }
  }
}

/** Whether an object has no prototype or that of plain objects, also from another realm. */
export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || isRoot(prototype);
}

/** For a function without options, which JavaScript may call with some. */
export function checkNoOptions(given: readonly unknown[]): void {
  // The index that `map` adds is none.
  const options = given.find(isObject);
  if (options !== undefined) throw new ConfigError("options", options, "no options");
}

/** Checks properties: allowed at `place`, not `reserved`, each with the right type and range. */
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
    if (!Object.hasOwn(Property, name)) {
      const meant = nearest(name, Object.keys(Property));
      const isElsewhere = meant !== null && !allowed.some((known) => known === meant);
      const advice = isElsewhere
        ? `${meant} is not allowed here; allowed are ${allowed.join(", ")}`
        : null;
      throw unknownName(`${field}.`, name, value, allowed, advice);
    }
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

/** Properties of PUBLISH that the broker writes for each receiver, and the delay of a will, which is not a message property. */
const RECEIVERS_OWN: readonly PropertyName[] = [
  ...(["TopicAlias", "SubscriptionIdentifier", "WillDelayInterval"] as const),
];
/** Maximum size of a string or binary field. */
export const FIELD_BYTES_MAX = 65_535;
/** Together with the longest payload and the longest topic, properties of this size still fit a packet. */
const PROPERTIES_BYTES_MAX = 900_000;
/** A payload of this size fits a packet together with the longest topic and properties. */
const PAYLOAD_BYTES_MAX = 268_435_455 - 1024 * 1024;
const NO_BYTES = new Uint8Array(0);
