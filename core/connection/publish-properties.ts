/** A PUBLISH that came, as its message is made of it, and its properties, MQTT 5.0 §3.3.2.3. */
import type { Millis, QoS } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import { PacketType } from "../codec/packet.ts";
import { Property, PropertyScan } from "../codec/properties.ts";
import { Reader } from "../codec/reader.ts";
import type { MessageSource } from "../message/message-pool.ts";
import { Counter } from "../observe/counters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { HASH, PLUS } from "../topic/name.ts";
import { ClientAliases } from "./client-aliases.ts";
import type { Connection } from "./connection.ts";
import type { Parts } from "./parts.ts";

export class Incoming implements MessageSource {
  bytes: Uint8Array = new Uint8Array(0);
  topicStart = 0;
  topicEnd = 0;
  aliased: Uint8Array | null = null;
  propertyRuns: readonly number[] = NO_RUNS;
  payloadStart = 0;
  payloadEnd = 0;
  qos: QoS = 0;
  isRetained = false;
  expiresAt: Millis;
  owned: Uint8Array | null = null;
  /** 0 until an alias has been looked up, where there is no name. */
  topic = 0;
  /** 0 at QoS 0. */
  packetId = 0;
  /** It says that its payload is text. */
  isText = false;

  constructor(expiresAt: Millis) {
    this.expiresAt = expiresAt;
  }

  /** A packet whose variable header begins at `start`, without properties. Its payload may end before it begins. */
  begin(
    bytes: Uint8Array,
    start: number,
    remaining: number,
    topic: number,
    qos: QoS,
    isRetained: boolean,
    owned: Uint8Array | null,
  ): void {
    const topicEnd = start + 2 + ((bytes[start]! << 8) | bytes[start + 1]!);
    this.bytes = bytes;
    this.topicStart = start;
    this.topicEnd = topicEnd;
    this.aliased = null;
    this.propertyRuns = NO_RUNS;
    this.payloadStart = qos > 0 ? topicEnd + 2 : topicEnd;
    this.payloadEnd = start + remaining;
    this.packetId = qos > 0 ? (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]! : 0;
    this.topic = topic;
    this.qos = qos;
    this.isRetained = isRetained;
    this.expiresAt = NEVER;
    this.isText = false;
    this.owned = owned;
  }
}

/** Reads the properties that stand where the payload would begin; Success, or what is wrong. */
export function readProperties(
  parts: Parts,
  connection: Connection,
  packet: Incoming,
  now: Millis,
): ReasonCode {
  const { bytes, payloadStart, payloadEnd } = packet;
  if (payloadStart < payloadEnd && bytes[payloadStart] === 0) {
    // None: the usual packet costs no scan.
    packet.payloadStart++;
    return packet.topic === 0 ? Reason.ProtocolError : Reason.Success;
  }
  const reader = new Reader(bytes, payloadStart, payloadEnd);
  const fault = scan.read(reader, PacketType.Publish);
  if (fault !== Reason.Success) return fault;
  packet.payloadStart = reader.at;
  packet.propertyRuns = scan.forwarded;
  if (scan.has(Property.SubscriptionIdentifier)) return Reason.ProtocolError; // [MQTT-3.3.4-6]
  if (scan.has(Property.ResponseTopic)) {
    const end = scan.end(Property.ResponseTopic);
    for (let i = scan.start(Property.ResponseTopic); i < end; i++) {
      if (bytes[i] === PLUS || bytes[i] === HASH) return Reason.ProtocolError; // [MQTT-3.3.2-14]
    }
  }
  packet.isText = scan.number(Property.PayloadFormatIndicator, 0) === 1;
  const seconds = scan.number(Property.MessageExpiryInterval, -1);
  if (seconds >= 0) packet.expiresAt = (now + seconds * 1000) as Millis;
  return readAlias(parts, connection, packet, scan.number(Property.TopicAlias, 0));
}

/** Sets an alias, or finds what it stands for where the packet has no name. */
function readAlias(
  parts: Parts,
  connection: Connection,
  packet: Incoming,
  alias: number,
): ReasonCode {
  if (alias === 0) return packet.topic === 0 ? Reason.ProtocolError : Reason.Success;
  if (alias > parts.limits.topicAliasMax) return Reason.TopicAliasInvalid; // [MQTT-3.3.2-9]
  const { ingest, counters, limits } = parts;
  connection.clientAliases ??= new ClientAliases();
  const aliases = connection.clientAliases;
  if (packet.topic === 0) {
    const field = aliases.field(alias);
    if (field === null) return Reason.ProtocolError;
    packet.aliased = field;
    packet.topic = aliases.id(alias, ingest);
    return Reason.Success;
  }
  const { bytes, topicStart, topicEnd, topic } = packet;
  const before = aliases.byteCount;
  aliases.set(alias, bytes, topicStart, topicEnd, topic, ingest.topicEpoch);
  counters[Counter.inputBytes]! += aliases.byteCount - before;
  return counters[Counter.inputBytes]! > limits.inputBytesMax
    ? Reason.QuotaExceeded
    : Reason.Success;
}

const NO_RUNS: readonly number[] = [];
const scan = new PropertyScan();
