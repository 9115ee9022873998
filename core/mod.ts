/** The core's public surface, and nothing else. */
export { AssertionError } from "./base/assert.ts";
export { hashBytes } from "./base/hash.ts";
export * from "./boundary.ts";
export { Broker } from "./broker.ts";
export { encodeAck, encodeReason, packet, u16, withLength } from "./codec/encode.ts";
export type { NameTable } from "./codec/frames.ts";
export { scanFrames } from "./codec/frames.ts";
export { ReferenceIngest } from "./codec/ingest.ts";
export { MATCH_MORE, NEEDS_WINDOW, ROW_WORDS } from "./codec/layout.ts";
export { FirstByte, PacketType } from "./codec/packet.ts";
export type {
  PropertyId,
  PropertyName,
  PropertyPlace,
  PropertyValue,
} from "./codec/properties.ts";
export { Property, propertyTable, WILL_PROPERTIES } from "./codec/properties.ts";
export {
  areMessageProperties,
  decodeProperties,
  encodeProperties,
  joined,
} from "./codec/property-values.ts";
export { Reader, VARINT_BYTES } from "./codec/reader.ts";
export { decodeUtf8, encodeUtf8 } from "./codec/utf8.ts";
export { frameBytes } from "./codec/varint.ts";
export type { BrokerConfig, DurabilityRule, LimitName, LimitSpec, Limits } from "./config.ts";
export {
  ConfigError,
  HIDDEN,
  limitNames,
  limitTable,
  parseLimit,
  parseLimits,
  unknownName,
} from "./config.ts";
export type { BrokerState, ConnectionState, SessionState } from "./inspect.ts";
export { countUnstored, inspect } from "./inspect.ts";
export { appendRecord, readBatch, WriteBatch } from "./journal/batch.ts";
export type {
  MessageFields,
  QueueFields,
  RecordedWillFields,
  RetainedFields,
  SessionFields,
  SubscriptionFields,
} from "./journal/decode-records.ts";
export {
  decodeIdentifiers,
  decodeMessage,
  decodeQueue,
  decodeRetained,
  decodeSession,
  decodeSubscription,
  decodeWill,
} from "./journal/decode-records.ts";
export type { EncodedRecord } from "./journal/encode-records.ts";
export {
  encodeMessage,
  encodeQueue,
  encodeRetained,
  encodeSession,
  encodeSubscription,
  encodeWill,
} from "./journal/encode-records.ts";
export { Journal } from "./journal/journal.ts";
export {
  DURABLE_ID_MAX,
  isMessageKind,
  messageKey,
  ORDER_MAX,
  POSITION_FIRST,
  POSITION_MAX,
  QueueRecordKind,
  RECORD_FORMAT,
  SERIAL_MAX,
} from "./journal/record-keys.ts";
export { DELIVERY_QOS, DELIVERY_RETAIN } from "./message/publish-writer.ts";
export { nearest } from "./nearest.ts";
export type { CounterName, CounterSpec } from "./observe/counters.ts";
export { Counter, counterNames, counterTable } from "./observe/counters.ts";
export type { BrokerEvent } from "./observe/events.ts";
export type {
  Ingest,
  Policy,
  PolicyVerdict,
  Ports,
  TopicIndex,
  TopicIndexFactory,
} from "./ports.ts";
export { Added, Verdict } from "./ports.ts";
export type { FailureCode, ReasonCode, ReasonPacket } from "./reason.ts";
export { connectReturnCode, FAILURE_MIN, mayCarry, Reason, reasonName } from "./reason.ts";
export type { DecodedRecord, RecordFault } from "./recovery/record-check.ts";
export { decodeRecord, faultOf } from "./recovery/record-check.ts";
export type { RecoveryCounts } from "./recovery/recovery.ts";
export { Recovery } from "./recovery/recovery.ts";
export {
  identifierOf,
  OPTIONS_NO_LOCAL,
  OPTIONS_QOS,
  OPTIONS_RETAIN_AS_PUBLISHED,
  subscriptionOptions,
} from "./routing/route.ts";
export { sharedFilter } from "./routing/shared.ts";
export { isTopicFilter, matchesFilter } from "./topic/filter.ts";
export { isBrokerTopic, isTopicName } from "./topic/name.ts";
export { referenceTopics } from "./topic/trie.ts";
