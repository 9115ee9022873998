/**
 * Properties as values: encodes them for a packet, and decodes those of a received packet for
 * people.
 */
import { ownBytes } from "../base/bytes.ts";
import type { PropertyValues } from "../boundary.ts";
import { Reason } from "../reason.ts";
import { PacketType } from "./packet.ts";
import type { PropertyId, PropertyName } from "./properties.ts";
import { Property, PropertyScan, propertyTable } from "./properties.ts";
import { Reader, VARINT_BYTES } from "./reader.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";
import { remainingLengthBytes, writeRemainingLength } from "./varint.ts";

/** The properties, concatenated, without the length that precedes them in a packet. */
export function encodeProperties(values: PropertyValues): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, value] of Object.entries(values) as [PropertyName, unknown][]) {
    if (value === undefined) continue;
    const id = Property[name];
    const { fields, isText } = propertyTable[id]!.type;
    if (fields === 2) {
      for (const [key, text] of value as readonly (readonly [string, string])[]) {
        parts.push(Uint8Array.of(id), ...field(encodeUtf8(key)), ...field(encodeUtf8(text)));
      }
    } else if (fields === 1) {
      const bytes = isText ? encodeUtf8(value as string) : (value as Uint8Array);
      parts.push(Uint8Array.of(id), ...field(bytes));
    } else {
      const numbers = typeof value === "number" ? [value] : (value as readonly number[]);
      for (const number of numbers) parts.push(encodeNumber(id, number));
    }
  }
  return joined(parts);
}

/** A property with a number: its identifier and value. */
export function encodeNumber(id: PropertyId, value: number): Uint8Array {
  const { numberBytes } = propertyTable[id]!.type;
  const isVarint = numberBytes === VARINT_BYTES;
  const bytes = new Uint8Array(1 + (isVarint ? remainingLengthBytes(value) : numberBytes));
  bytes[0] = id;
  if (isVarint) writeRemainingLength(bytes, 1, value);
  else for (let at = numberBytes; at > 0; at--, value >>>= 8) bytes[at] = value & 0xff;
  return bytes;
}

/**
 * Decodes the properties `bytes[start, end)`, which have been checked and have no length before
 * them.
 */
export function decodeProperties(
  bytes: Uint8Array,
  start = 0,
  end: number = bytes.length,
): PropertyValues {
  const values: Record<string, unknown> = {};
  const reader = new Reader(bytes, start, end);
  const text = (): string => {
    const from = reader.field();
    return decodeUtf8(bytes, from, reader.at);
  };
  while (reader.at < end) {
    const property = propertyTable[reader.u8()] ?? null;
    if (property === null) break;
    const { name, type } = property;
    const before = values[name];
    if (type.fields === 2) {
      values[name] = [...((before as unknown[] | undefined) ?? []), [text(), text()]];
    } else if (type.fields === 1) {
      const from = reader.field();
      const decode = type.isText ? decodeUtf8 : ownBytes;
      values[name] = decode(bytes, from, reader.at);
    } else {
      const value = reader.number(type.numberBytes);
      values[name] =
        before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
    }
  }
  return values;
}

/** Whether the encoded properties are valid in a message that the host program publishes. */
export function areMessageProperties(encoded: Uint8Array): boolean {
  const length = new Uint8Array(remainingLengthBytes(encoded.length));
  writeRemainingLength(length, 0, encoded.length);
  const bytes = joined([length, encoded]);
  const reader = new Reader(bytes, 0, bytes.length);
  const scan = new PropertyScan();
  if (scan.read(reader, PacketType.Publish) !== Reason.Success || !reader.isDone) return false;
  // These two differ by receiver: the broker writes them when it sends.
  return !scan.has(Property.TopicAlias) && !scan.has(Property.SubscriptionIdentifier);
}

function field(bytes: Uint8Array): Uint8Array[] {
  return [Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes];
}

/** The concatenation of byte arrays. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
