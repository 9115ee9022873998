/** Makes a message again from its record. */
import type { Millis } from "../boundary.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { PublishFields } from "../message/publish-fields.ts";
import type { MessageFields } from "./decode-records.ts";

/** Creates a message with one reference from the value of its record; 0: memory is exhausted. */
export function createStored(
  messages: MessagePool,
  value: Uint8Array,
  fields: MessageFields,
  expiresAt: Millis,
): MessageSlot {
  const { serial, qos, isRetained, topicStart, topicEnd, payloadStart } = fields;
  source.bytes = value;
  source.topicStart = topicStart;
  source.topicEnd = topicEnd;
  source.payloadStart = payloadStart;
  source.payloadEnd = value.length;
  source.qos = qos;
  source.isRetained = isRetained;
  source.expiresAt = expiresAt;
  source.propertyRanges = topicEnd === payloadStart ? NO_RANGES : [topicEnd, payloadStart];
  const message = messages.create(source);
  source.bytes = NO_BYTES;
  if (message !== 0) messages.restoreSerial(message, serial);
  return message;
}

/** The current message. Messages are made one at a time, so one record serves all. */
const source = new PublishFields();
const NO_RANGES: readonly number[] = [];
const NO_BYTES = new Uint8Array(0);
