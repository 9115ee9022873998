/**
 * Checks the values of a recording before a replay passes them to a broker. A damaged recording is therefore reported as
 * damaged, and an exception of the broker in a replay is a fault of the broker.
 */
import { codecKinds } from "../../codec-wasm/mod.ts";
import { CloseCause, FAILURE_MIN, limitNames, parseLimits, Verdict } from "../../core/mod.ts";
import { isObject, isWhole } from "../checks.ts";
import type { RecordingHeader } from "./format.ts";

type Fields = Readonly<Record<string, unknown>>;

export function isHeader(value: unknown): value is RecordingHeader {
  if (!isObject(value) || !isObject(value["config"]) || !isObject(value["codec"])) return false;
  const { version, config, codec, payloads } = value as { config: Fields; codec: Fields } & Fields;
  const { epochMillis, serverName, durable, durability, answersLoads } = config;
  const { responseInformation, limits } = config;
  return (
    isText(version) &&
    typeof payloads === "boolean" &&
    (codecKinds as readonly unknown[]).includes(codec["kind"]) &&
    isText(codec["name"]) &&
    isU32(codec["seed"]) &&
    Number.isFinite(epochMillis) &&
    isText(serverName) &&
    typeof durable === "boolean" &&
    (durability === undefined || isDurability(durability)) &&
    (answersLoads === undefined || typeof answersLoads === "boolean") &&
    Object.keys(config).every((name) => CONFIG_NAMES.has(name)) &&
    (responseInformation === null || isText(responseInformation)) &&
    areLimits(limits)
  );
}

export function isConnInfo(value: unknown): boolean {
  if (!isObject(value) || !isText(value["transport"]) || !isText(value["remote"])) return false;
  const { peer } = value;
  return peer === null || (isObject(peer) && isText(peer["commonName"]));
}

export function isDecision(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { kind, principal, data, reason, reasons, reasonString, serverReference } = value;
  for (const text of [reasonString, serverReference]) {
    if (text !== undefined && !isText(text)) return false;
  }
  switch (kind) {
    case "allow":
      return (principal === undefined || isText(principal)) && (data === undefined || isData(data));
    case "challenge":
      return isData(data);
    case "deny":
      return isReason(reason);
    case "filters":
      return Array.isArray(reasons) && reasons.every(isReason);
    default:
      return false;
  }
}

/** A command, except a publish. */
export function isCommand(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { kind, clientId, reason, publishes, reference, isForGood, bytes } = value;
  switch (kind) {
    case "kick":
      return isText(clientId) && isReason(reason);
    case "move":
      return (reference === null || isText(reference)) && typeof isForGood === "boolean";
    case "observe":
      return typeof publishes === "boolean";
    case "memory":
      return Number.isSafeInteger(bytes) && (bytes as number) >= 0;
    default:
      return kind === "shutdown";
  }
}

/** A publish command without its payload. The broker checks whether a client could send the message. */
export function isPublish(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { kind, topic, qos, retain, properties = {} } = value;
  const isQoS = qos === 0 || qos === 1 || qos === 2;
  return (
    kind === "publish" &&
    isText(topic) &&
    isQoS &&
    typeof retain === "boolean" &&
    isObject(properties)
  );
}

export function isCause(value: number): boolean {
  return (Object.values(CloseCause) as readonly number[]).includes(value);
}

export function isVerdict(value: number): boolean {
  return (Object.values(Verdict) as readonly number[]).includes(value) || value >= FAILURE_MIN;
}

/** All limits must be present, because a recording contains the parsed limits. */
function areLimits(value: unknown): boolean {
  if (!isObject(value) || !limitNames.every((name) => Object.hasOwn(value, name))) return false;
  try {
    parseLimits(value);
    return true;
  } catch {
    return false;
  }
}

function isDurability(value: unknown): boolean {
  const isRule = (rule: unknown): boolean =>
    isObject(rule) &&
    isText(rule["filter"]) &&
    (rule["acknowledge"] === "stored" || rule["acknowledge"] === "received");
  return Array.isArray(value) && value.every(isRule);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isData(value: unknown): boolean {
  return value instanceof Uint8Array;
}

function isReason(value: unknown): boolean {
  return isWhole(value, 0, 0xff);
}

function isU32(value: unknown): boolean {
  return isWhole(value, 0, 0xffff_ffff);
}

/** Of BrokerConfig. */
const CONFIG_NAMES: ReadonlySet<string> = new Set([
  ...["epochMillis", "serverName", "durable", "durability", "answersLoads"],
  ...["responseInformation", "limits"],
]);
