/** Checks the arguments of a client's methods and makes packet fields from them. All functions throw ConfigError. */
import type { Limits, PropertyName, PropertyValues } from "../../core/mod.ts";
import { ConfigError, PacketType, WILL_PROPERTIES } from "../../core/mod.ts";
import type { PublishOptions } from "../broker-options.ts";
import { publishNames } from "../broker-options.ts";
import {
  checkedBytes,
  checkedMessage,
  checkFilter,
  checkFunction,
  checkProperties,
  checkQoS,
  checkSwitch,
  checkText,
  checkWhole,
  FIELD_BYTES_MAX,
} from "../checks.ts";
import type { Names } from "../options.ts";
import { checkOptions } from "../options.ts";
import type {
  ConnectOptions,
  DisconnectOptions,
  MessageHandler,
  SubscribeOptions,
  WillOptions,
} from "./client-api.ts";
import { OWN_IDENTIFIER_MIN } from "./incoming.ts";
import type { ConnectFields, PublishFields } from "./packets.ts";

export function connectFields(options: ConnectOptions, limits: Limits): ConnectFields {
  checkOptions("options", options, connectNames);
  const { clientId = "", cleanStart = true, username, password, will, properties = {} } = options;
  const { keepAliveSeconds = 0, sessionExpirySeconds = 0, receiveMaximum } = options;
  checkText("clientId", clientId);
  checkSwitch("cleanStart", cleanStart);
  if (username !== undefined) checkText("username", username);
  checkWhole("keepAliveSeconds", keepAliveSeconds, 0, 0xffff);
  checkWhole("sessionExpirySeconds", sessionExpirySeconds, 0, 0xffff_ffff);
  if (receiveMaximum !== undefined) checkWhole("receiveMaximum", receiveMaximum, 1, 0xffff);
  queueLimits(options);
  checkProperties(properties, PacketType.Connect, CONNECT_RESERVED);
  return {
    ...{ clientId, cleanStart, keepAliveSeconds, username },
    password:
      password === undefined ? undefined : checkedBytes("password", password, FIELD_BYTES_MAX),
    properties: {
      ...(sessionExpirySeconds === 0 ? {} : { SessionExpiryInterval: sessionExpirySeconds }),
      ...(receiveMaximum === undefined ? {} : { ReceiveMaximum: receiveMaximum }),
      ...properties,
    },
    will: will === undefined ? undefined : willFields(will, limits),
  };
}

function willFields(will: NonNullable<ConnectOptions["will"]>, limits: Limits): PublishFields {
  checkOptions("will", will, willNames);
  const { delaySeconds = 0 } = will;
  checkWhole("will.delaySeconds", delaySeconds, 0, 0xffff_ffff);
  // A will's payload is a field of CONNECT, so its maximum is less than that of a published message.
  const payload = checkedBytes("will.payload", will.payload ?? "", FIELD_BYTES_MAX);
  const message = checkedMessage({ ...will, payload }, limits, "will.", WILL_PROPERTIES);
  if (delaySeconds === 0) return message;
  return { ...message, properties: { WillDelayInterval: delaySeconds, ...message.properties } };
}

export function queueLimits(options: ConnectOptions): {
  readonly queuedMessagesMax: number;
  readonly queuedBytesMax: number;
} {
  const { queuedMessagesMax = QUEUED_MESSAGES_MAX, queuedBytesMax = QUEUED_BYTES_MAX } = options;
  checkWhole("queuedMessagesMax", queuedMessagesMax, 0, Number.MAX_SAFE_INTEGER);
  checkWhole("queuedBytesMax", queuedBytesMax, 0, Number.MAX_SAFE_INTEGER);
  return { queuedMessagesMax, queuedBytesMax };
}

export function publishFields(
  topic: string,
  payload: Uint8Array | string,
  options: PublishOptions,
  limits: Limits,
): PublishFields {
  checkOptions("options", options, publishNames);
  return checkedMessage({ ...options, topic, payload }, limits);
}

/** Makes a list of the filters, each once. */
export function filterFields(
  filters: string | readonly string[],
  limits: Limits,
): readonly string[] {
  const isList = Array.isArray(filters);
  if (typeof filters !== "string" && (!isList || filters.length === 0)) {
    const value = isList ? "[]" : filters;
    throw new ConfigError("filters", value, "a topic filter, or a list of one or more");
  }
  const list: readonly string[] = isList ? [...new Set(filters)] : [filters as string];
  for (const filter of list) checkFilter("filters", filter, limits);
  return list;
}

/** Makes a list of the filters, and checks the options for them. */
export function subscribeFields(
  filters: string | readonly string[],
  options: SubscribeOptions,
  handler: MessageHandler | null,
  limits: Limits,
): readonly string[] {
  const list = filterFields(filters, limits);
  checkOptions("options", options, subscribeNames);
  if (handler !== null) checkFunction("handler", handler);
  const { noLocal = false, retainAsPublished = false } = options;
  checkSwitch("noLocal", noLocal);
  checkSwitch("retainAsPublished", retainAsPublished);
  if (noLocal && list.some((filter) => filter.startsWith("$share/"))) {
    throw new ConfigError("noLocal", true, "false for shared subscriptions"); // [MQTT-3.8.3-4]
  }
  const { subscriptionIdentifier: identifier, userProperty, qos = 0, retainHandling = 0 } = options;
  checkQoS("qos", qos);
  checkWhole("retainHandling", retainHandling, 0, 2);
  if (identifier !== undefined) {
    checkWhole("subscriptionIdentifier", identifier, 1, OWN_IDENTIFIER_MIN - 1);
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

/** `identifier` is 0 for none. */
export function subscribeProperties(
  { userProperty }: SubscribeOptions,
  identifier: number,
): PropertyValues {
  return {
    ...(identifier === 0 ? {} : { SubscriptionIdentifier: identifier }),
    ...(userProperty === undefined ? {} : { UserProperty: userProperty }),
  };
}

/** `expirySeconds` is the expiry interval of the session. */
export function disconnectProperties(
  options: DisconnectOptions,
  expirySeconds: number,
): PropertyValues {
  checkOptions("options", options, { reason: true, properties: true });
  const { reason = 0, properties = {} } = options;
  checkWhole("reason", reason, 0, 0xff);
  checkProperties(properties, PacketType.Disconnect, ["ServerReference"]);
  const { SessionExpiryInterval = 0 } = properties;
  if (expirySeconds === 0 && SessionExpiryInterval !== 0) {
    // MQTT 5.0 §3.14.2.2.2
    const allowed = "0, for a session that ends with its connection";
    throw new ConfigError("properties.SessionExpiryInterval", SessionExpiryInterval, allowed);
  }
  return properties;
}

export const connectNames: Names<ConnectOptions> = {
  ...{ clientId: true, cleanStart: true, username: true, password: true, will: true },
  ...{ sessionExpirySeconds: true, keepAliveSeconds: true, receiveMaximum: true },
  ...{ properties: true, queuedMessagesMax: true, queuedBytesMax: true },
};
const willNames: Names<WillOptions> = {
  ...{ topic: true, payload: true, qos: true, retain: true },
  ...{ delaySeconds: true, properties: true },
};
const subscribeNames: Names<SubscribeOptions> = {
  ...{ qos: true, noLocal: true, retainAsPublished: true, retainHandling: true },
  ...{ subscriptionIdentifier: true, userProperty: true },
};
const CONNECT_RESERVED: readonly PropertyName[] = [
  ...(["SessionExpiryInterval", "ReceiveMaximum", "TopicAliasMaximum"] as const),
  ...(["AuthenticationMethod", "AuthenticationData"] as const),
];
const QUEUED_MESSAGES_MAX = 1000;
const QUEUED_BYTES_MAX = 8 * 1024 * 1024;
