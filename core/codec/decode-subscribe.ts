/** Decodes SUBSCRIBE and UNSUBSCRIBE, MQTT 5.0 and 3.1.1 §3.8 and §3.10. */
import type { ProtocolLevel } from "../boundary.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { PacketType } from "./packet.ts";
import { Property, PropertyScan } from "./properties.ts";
import { Reader } from "./reader.ts";
import { decodeUtf8 } from "./utf8.ts";

export interface FilterPacket {
  readonly packetId: number;
  /** 0: no Subscription Identifier. */
  readonly subscriptionId: number;
  readonly filters: FilterField[];
}

export interface FilterField {
  /** The filter is `bytes[start, end)` of the packet. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /**
   * The subscription options byte: QoS, No Local, Retain As Published, Retain Handling. 0 in
   * UNSUBSCRIBE.
   */
  readonly options: number;
}

/** Bits of the subscription options byte, MQTT 5.0 §3.8.3.1; 3.1.1 has only the first two. */
export const SUBSCRIBE_QOS = 0b0000_0011;
export const SUBSCRIBE_NO_LOCAL = 0b0000_0100;
export const SUBSCRIBE_RETAIN_AS_PUBLISHED = 0b0000_1000;
export const SUBSCRIBE_RETAIN_HANDLING_SHIFT = 4;

/**
 * Decodes `bytes[start, end)` of a SUBSCRIBE or UNSUBSCRIBE, or returns its fault. The caller
 * checks whether each text is a valid topic filter.
 */
export function decodeFilters(
  bytes: Uint8Array,
  start: number,
  end: number,
  isSubscribe: boolean,
  level: ProtocolLevel,
): FilterPacket | ReasonCode {
  const reader = new Reader(bytes, start, end);
  const packetId = reader.u16();
  if (reader.isOverrun) return Reason.MalformedPacket;
  if (packetId === 0) return Reason.ProtocolError; // [MQTT311-2.3.1-1] [MQTT-2.2.1-3]
  scan.clear();
  if (level === 5) {
    const place = isSubscribe ? PacketType.Subscribe : PacketType.Unsubscribe;
    const fault = scan.read(reader, place);
    if (fault !== Reason.Success) return fault;
  }
  const filters: FilterField[] = [];
  while (reader.at < reader.end) {
    const filterStart = reader.text();
    const filterEnd = reader.at;
    const options = isSubscribe ? reader.u8() : 0;
    if (!reader.isValid) return Reason.MalformedPacket;
    // [MQTT311-3.8.3-4] [MQTT-3.8.3-5]
    if (options > (level === 5 ? 0b0011_1111 : 2)) return Reason.MalformedPacket;
    if ((options & SUBSCRIBE_QOS) === 3) return Reason.ProtocolError;
    if (options >> SUBSCRIBE_RETAIN_HANDLING_SHIFT === 3) return Reason.ProtocolError;
    filters.push({
      start: filterStart,
      end: filterEnd,
      text: decodeUtf8(bytes, filterStart, filterEnd),
      options,
    });
  }
  // [MQTT311-3.8.3-3] [MQTT311-3.10.3-2] [MQTT-3.8.3-2] [MQTT-3.10.3-2]
  if (filters.length === 0) return Reason.ProtocolError;
  return {
    packetId,
    subscriptionId: scan.number(Property.SubscriptionIdentifier, 0),
    filters,
  };
}

const scan = new PropertyScan();
