/** SUBSCRIBE and UNSUBSCRIBE, MQTT 3.1.1 §3.8 and §3.10. */
import type { QoS } from "../boundary.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { Reader } from "./reader.ts";
import { decodeUtf8 } from "./utf8.ts";

export interface FilterPacket {
  readonly packetId: number;
  readonly filters: FilterField[];
}

export interface FilterField {
  /** The filter is `bytes[start, end)` of the packet's bytes. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** The QoS asked for; 0 in UNSUBSCRIBE. */
  readonly qos: QoS;
}

/**
 * Decodes `bytes[start, end)` of either packet, or says what is wrong with it. Whether each text is a
 * topic filter is for the caller to check.
 */
export function decodeFilters(
  bytes: Uint8Array,
  start: number,
  end: number,
  isSubscribe: boolean,
): FilterPacket | ReasonCode {
  const reader = new Reader(bytes, start, end);
  const packetId = reader.u16();
  if (reader.isOverrun) return Reason.MalformedPacket;
  if (packetId === 0) return Reason.ProtocolError; // [MQTT311-2.3.1-1]
  const filters: FilterField[] = [];
  while (reader.at < reader.end) {
    const filterStart = reader.text();
    const filterEnd = reader.at;
    const options = isSubscribe ? reader.u8() : 0;
    if (!reader.isWell) return Reason.MalformedPacket;
    if (options > 2) return Reason.MalformedPacket; // [MQTT311-3.8.3-4]
    filters.push({
      start: filterStart,
      end: filterEnd,
      text: decodeUtf8(bytes, filterStart, filterEnd),
      qos: options as QoS,
    });
  }
  if (filters.length === 0) return Reason.ProtocolError; // [MQTT311-3.8.3-3] [MQTT311-3.10.3-2]
  return { packetId, filters };
}
