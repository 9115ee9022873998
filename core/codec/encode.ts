/**
 * Encodes the packets that a server sends rarely, each into an array of its own. PUBLISH and the
 * short acknowledgements are written straight into the send buffer (message/publish-writer.ts,
 * output/encode-output.ts).
 */

import type { PropertyValues } from "../boundary.ts";
import { FirstByte } from "./packet.ts";
import { encodeProperties, joined } from "./property-values.ts";
import { remainingLengthBytes, writeRemainingLength } from "./varint.ts";

/** CONNACK of MQTT 3.1 and 3.1.1. */
export function encodeConnack(isSessionPresent: boolean, returnCode: number): Uint8Array {
  return Uint8Array.of(FirstByte.Connack, 2, isSessionPresent ? 1 : 0, returnCode);
}

/** CONNACK of MQTT 5.0. */
export function encodeConnack5(
  isSessionPresent: boolean,
  reason: number,
  properties: PropertyValues,
): Uint8Array {
  const head = Uint8Array.of(isSessionPresent ? 1 : 0, reason);
  return packet(FirstByte.Connack, head, withLength(encodeProperties(properties)));
}

/** SUBACK of 3.1.1: one return code per filter, in the order of the SUBSCRIBE [MQTT311-3.9.3-1]. */
export function encodeSuback(packetId: number, returnCodes: readonly number[]): Uint8Array {
  return packet(FirstByte.Suback, u16(packetId), Uint8Array.from(returnCodes));
}

/**
 * SUBACK or UNSUBACK of 5.0: one reason code per filter, in their order [MQTT-3.9.3-1]
 * [MQTT-3.11.3-1].
 */
export function encodeFilterAck(
  firstByte: number,
  packetId: number,
  reasons: readonly number[],
  properties: PropertyValues = {},
): Uint8Array {
  const fields = withLength(encodeProperties(properties));
  return packet(firstByte, u16(packetId), fields, Uint8Array.from(reasons));
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP of 5.0 with a reason code and properties. */
export function encodeAck(
  firstByte: number,
  packetId: number,
  reason: number,
  properties: PropertyValues,
): Uint8Array {
  const fields = withLength(encodeProperties(properties));
  return packet(firstByte, u16(packetId), Uint8Array.of(reason), fields);
}

/** DISCONNECT or AUTH of 5.0. */
export function encodeReason(
  firstByte: number,
  reason: number,
  properties: PropertyValues = {},
): Uint8Array {
  const encoded = encodeProperties(properties);
  if (encoded.length === 0) return packet(firstByte, Uint8Array.of(reason));
  return packet(firstByte, Uint8Array.of(reason), withLength(encoded));
}

/** A packet: its first byte, its remaining length and the concatenated fields. */
export function packet(firstByte: number, ...fields: readonly Uint8Array[]): Uint8Array {
  const body = joined(fields);
  const bytes = new Uint8Array(1 + remainingLengthBytes(body.length) + body.length);
  bytes[0] = firstByte;
  bytes.set(body, writeRemainingLength(bytes, 1, body.length));
  return bytes;
}

/** Properties, preceded by the property length. */
export function withLength(properties: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(remainingLengthBytes(properties.length) + properties.length);
  bytes.set(properties, writeRemainingLength(bytes, 0, properties.length));
  return bytes;
}

/** A Two Byte Integer. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}
