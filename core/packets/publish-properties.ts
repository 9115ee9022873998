/** Reads the properties of a received PUBLISH, MQTT 5.0 §3.3.2.3. */
import type { Millis } from "../boundary.ts";
import { PacketType } from "../codec/packet.ts";
import { Property, PropertyScan } from "../codec/properties.ts";
import { Reader } from "../codec/reader.ts";
import type { Connection } from "../connection/connection.ts";
import { InboundAliases } from "../connection/inbound-aliases.ts";
import type { BrokerContext } from "../context.ts";
import type { PublishFields } from "../message/publish-fields.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";

/**
 * Reads the properties, which begin where the payload would without them. Returns Success or the
 * fault.
 */
export function readProperties(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
): ReasonCode {
  const { bytes, payloadStart, payloadEnd } = packet;
  if (payloadStart < payloadEnd && bytes[payloadStart] === 0) {
    // No properties: the usual packet needs no scan.
    packet.payloadStart++;
    return packet.topic === 0 ? Reason.ProtocolError : Reason.Success;
  }
  // The most frequent property is a topic alias alone.
  const isAlias =
    bytes[payloadStart] === ALIAS_BYTES && bytes[payloadStart + 1] === Property.TopicAlias;
  if (isAlias && payloadStart + ALIAS_BYTES < payloadEnd) {
    packet.payloadStart += 1 + ALIAS_BYTES;
    const alias = (bytes[payloadStart + 2]! << 8) | bytes[payloadStart + 3]!;
    if (alias === 0) return Reason.TopicAliasInvalid; // [MQTT-3.3.2-8]
    const { inboundAliases } = connection;
    if (
      packet.topic === 0 &&
      inboundAliases !== null &&
      inboundAliases.wasLast(alias, context.ingest)
    ) {
      // The same alias as in the previous packet: its topic is still at hand.
      packet.topic = inboundAliases.lastId;
      if (packet.aliased !== inboundAliases.lastField) packet.aliased = inboundAliases.lastField;
      packet.isAliased = true;
      return Reason.Success;
    }
    return readAlias(context, connection, packet, alias);
  }
  const reader = new Reader(bytes, payloadStart, payloadEnd);
  const fault = scan.read(reader, PacketType.Publish);
  if (fault !== Reason.Success) return fault;
  packet.payloadStart = reader.at;
  packet.propertyRanges = scan.forwarded;
  if (scan.has(Property.SubscriptionIdentifier)) return Reason.ProtocolError; // [MQTT-3.3.4-6]
  packet.isPayloadText = scan.number(Property.PayloadFormatIndicator, 0) === 1;
  const seconds = scan.number(Property.MessageExpiryInterval, -1);
  if (seconds >= 0) packet.expiresAt = (context.now + seconds * 1000) as Millis;
  return readAlias(context, connection, packet, scan.number(Property.TopicAlias, 0));
}

/** Sets the alias, or resolves it if the packet has no topic name. */
function readAlias(
  context: BrokerContext,
  connection: Connection,
  packet: PublishFields,
  alias: number,
): ReasonCode {
  if (alias === 0) return packet.topic === 0 ? Reason.ProtocolError : Reason.Success;
  if (alias > context.limits.topicAliasMax) return Reason.TopicAliasInvalid; // [MQTT-3.3.2-9]
  const { ingest, counters, limits } = context;
  connection.inboundAliases ??= new InboundAliases();
  const aliases = connection.inboundAliases;
  if (packet.topic === 0) {
    const field = aliases.field(alias);
    if (field === null) return Reason.ProtocolError;
    // Stored only on change, like other fields.
    if (packet.aliased !== field) packet.aliased = field;
    packet.isAliased = true;
    packet.topic = aliases.id(alias, ingest);
    return Reason.Success;
  }
  const before = aliases.byteCount;
  aliases.set(alias, packet, ingest.topicEpoch);
  counters[Counter.inputBytes]! += aliases.byteCount - before;
  return counters[Counter.inputBytes]! > limits.inputBytesMax
    ? Reason.QuotaExceeded
    : Reason.Success;
}

const scan = new PropertyScan();
/** The length of the property: identifier and value. */
const ALIAS_BYTES = 3;
