/** The publish command: messages of the host program, and of the broker itself (`$SYS`). */
import type { Command, Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import { areMessageProperties, encodeProperties, joined } from "../codec/property-values.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import { ConfigError } from "../config.ts";
import type { BrokerContext } from "../context.ts";
import { PublishFields } from "../message/publish-fields.ts";
import { isTopicName } from "../topic/name.ts";
import { publishMessage } from "./publish-message.ts";

/**
 * Publishes the message of a command. Throws ConfigError for a message that no client could send.
 */
export function publishCommand(
  context: BrokerContext,
  command: Extract<Command, { kind: "publish" }>,
): void {
  const { messages, limits } = context;
  const { topic, payload, qos, retain, properties = {} } = command;
  const name = encodeUtf8(topic);
  if (!isTopicName(name, 0, name.length, limits.topicBytesMax, limits.topicLevelsMax)) {
    throw new ConfigError("topic", topic, "a topic name within the limits, without wildcards");
  }
  const { MessageExpiryInterval: seconds, ...forwarded } = properties;
  const encodedProperties = encodeProperties(forwarded);
  const isTime = seconds === undefined || (Number.isInteger(seconds) && seconds >= 0);
  if (!isTime || seconds! > 0xffff_ffff || !areMessageProperties(encodedProperties)) {
    throw new ConfigError("properties", properties, "PUBLISH properties that every receiver gets");
  }
  const length = Uint8Array.of(name.length >> 8, name.length & 0xff);
  const bytes = joined([length, name, encodedProperties, payload]);
  const topicEnd = 2 + name.length;
  const payloadStart = topicEnd + encodedProperties.length;
  const message = messages.create(
    Object.assign(new PublishFields(), {
      ...{ bytes, topicEnd, payloadStart, payloadEnd: bytes.length, qos, isRetained: retain },
      propertyRanges: encodedProperties.length === 0 ? [] : [topicEnd, payloadStart],
      expiresAt: seconds === undefined ? NEVER : ((context.now + seconds * 1000) as Millis),
    }),
  );
  if (message !== 0) publishMessage(context, "", message, null);
}
