/** What the program asks of a client, checked, as the fields of packets. Everything throws ConfigError. */
import type { Limits, PropertyName, PropertyValues, QoS } from "../../core/mod.ts";
import {
  ConfigError,
  encodeUtf8,
  isTopicFilter,
  isTopicName,
  PacketType,
  sharedFilter,
  WILL_PROPERTIES,
} from "../../core/mod.ts";
import type { MessageProperties } from "../broker-server.ts";
import type { ConnectOptions, DisconnectOptions, SubscribeOptions } from "./client-api.ts";
import { OWN_IDENTIFIER_MIN } from "./incoming.ts";
import type { ConnectFields, PublishFields } from "./packets.ts";
import { checkProperties } from "./packets.ts";

export function connectFields(options: ConnectOptions): ConnectFields {
  const { clientId = "", cleanStart = true, username, password, will, properties = {} } = options;
  const { keepAliveSeconds = 0, sessionExpirySeconds = 0, receiveMaximum } = options;
  whole("keepAliveSeconds", keepAliveSeconds, 0, 0xffff);
  whole("sessionExpirySeconds", sessionExpirySeconds, 0, 0xffff_ffff);
  if (receiveMaximum !== undefined) whole("receiveMaximum", receiveMaximum, 1, 0xffff);
  queueLimits(options);
  checkProperties(properties, PacketType.Connect, CONNECT_RESERVED);
  return {
    ...{ clientId, cleanStart, keepAliveSeconds, username },
    password: typeof password === "string" ? encodeUtf8(password) : password,
    properties: {
      ...(sessionExpirySeconds === 0 ? {} : { SessionExpiryInterval: sessionExpirySeconds }),
      ...(receiveMaximum === undefined ? {} : { ReceiveMaximum: receiveMaximum }),
      ...properties,
    },
    will: will === undefined ? undefined : willFields(will),
  };
}

function willFields(will: NonNullable<ConnectOptions["will"]>): PublishFields {
  const { topic, payload = "", qos = 0, retain = false, delaySeconds = 0, properties = {} } = will;
  quality("will.qos", qos);
  whole("will.delaySeconds", delaySeconds, 0, 0xffff_ffff);
  checkProperties(properties, WILL_PROPERTIES, ["WillDelayInterval"]);
  return {
    ...{ topic, payload: bytesOf(payload), qos, retain },
    properties: {
      ...(delaySeconds === 0 ? {} : { WillDelayInterval: delaySeconds }),
      ...properties,
    },
  };
}

export function queueLimits(options: ConnectOptions): {
  readonly queuedMessagesMax: number;
  readonly queuedBytesMax: number;
} {
  const { queuedMessagesMax = QUEUED_MESSAGES_MAX, queuedBytesMax = QUEUED_BYTES_MAX } = options;
  whole("queuedMessagesMax", queuedMessagesMax, 0, Number.MAX_SAFE_INTEGER);
  whole("queuedBytesMax", queuedBytesMax, 0, Number.MAX_SAFE_INTEGER);
  return { queuedMessagesMax, queuedBytesMax };
}

export function publishFields(
  asked: {
    readonly topic: string;
    readonly payload: Uint8Array | string;
    readonly qos?: QoS;
    readonly retain?: boolean;
    readonly properties?: MessageProperties;
  },
  { topicBytesMax, topicLevelsMax }: Limits,
): PublishFields {
  const { topic, payload, qos = 0, retain = false, properties = {} } = asked;
  const name = encodeUtf8(topic);
  if (!isTopicName(name, 0, name.length, topicBytesMax, topicLevelsMax)) {
    throw new ConfigError("topic", topic, "a topic name within the limits, without wildcards");
  }
  quality("qos", qos);
  checkProperties(properties, PacketType.Publish, ["TopicAlias", "SubscriptionIdentifier"]);
  return { topic, payload: bytesOf(payload), qos, retain, properties };
}

/** The filters as a list. */
export function subscribeFields(
  filters: string | readonly string[],
  options: SubscribeOptions,
  { topicBytesMax, topicLevelsMax }: Limits,
): readonly string[] {
  const list = typeof filters === "string" ? [filters] : [...new Set(filters)];
  if (list.length === 0) throw new ConfigError("filters", "[]", "one or more topic filters");
  for (const filter of list) {
    const bytes = encodeUtf8(filter);
    const isFilter = isTopicFilter(bytes, 0, bytes.length, topicBytesMax, topicLevelsMax);
    const isShared = filter.startsWith("$share/");
    if (!isFilter || (isShared && sharedFilter(filter) === null)) {
      throw new ConfigError("filters", filter, "topic filters within the limits");
    }
    if (isShared && options.noLocal === true) {
      throw new ConfigError("noLocal", true, "false for shared subscriptions"); // [MQTT-3.8.3-4]
    }
  }
  const { subscriptionIdentifier: identifier, userProperty, qos = 0, retainHandling = 0 } = options;
  quality("qos", qos);
  whole("retainHandling", retainHandling, 0, 2);
  if (identifier !== undefined) {
    whole("subscriptionIdentifier", identifier, 1, OWN_IDENTIFIER_MIN - 1);
  }
  if (userProperty !== undefined) {
    checkProperties({ UserProperty: userProperty }, PacketType.Subscribe);
  }
  return list;
}

/** The byte of subscription options, MQTT 5.0 §3.8.3.1. */
export function subscribeOptionsByte(options: SubscribeOptions): number {
  const { qos = 0, noLocal = false, retainAsPublished = false, retainHandling = 0 } = options;
  return qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4);
}

/** `expirySeconds` is that of the session. */
export function disconnectProperties(
  { reason = 0, properties = {} }: DisconnectOptions,
  expirySeconds: number,
): PropertyValues {
  whole("reason", reason, 0, 0xff);
  checkProperties(properties, PacketType.Disconnect, ["ServerReference"]);
  const { SessionExpiryInterval = 0 } = properties;
  if (expirySeconds === 0 && SessionExpiryInterval !== 0) {
    // MQTT 5.0 §3.14.2.2.2
    const allowed = "0, for a session that ends with its connection";
    throw new ConfigError("properties.SessionExpiryInterval", SessionExpiryInterval, allowed);
  }
  return properties;
}

function bytesOf(payload: Uint8Array | string): Uint8Array {
  if (typeof payload === "string") return encodeUtf8(payload);
  if (payload instanceof Uint8Array) return payload;
  throw new ConfigError("payload", payload, "a text or a Uint8Array");
}

function quality(name: string, value: number): void {
  if (value !== 0 && value !== 1 && value !== 2) throw new ConfigError(name, value, "0, 1 or 2");
}

function whole(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new ConfigError(name, value, `a whole number from ${min} to ${max}`);
}

const CONNECT_RESERVED: readonly PropertyName[] = [
  ...(["SessionExpiryInterval", "ReceiveMaximum", "TopicAliasMaximum"] as const),
  ...(["AuthenticationMethod", "AuthenticationData"] as const),
];
const QUEUED_MESSAGES_MAX = 1000;
const QUEUED_BYTES_MAX = 8 * 1024 * 1024;
