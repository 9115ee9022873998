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
import { Reader } from "./reader.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";
import { remainingLengthBytes, writeRemainingLength } from "./varint.ts";

/** The properties, concatenated, without the length that precedes them in a packet. */
export function encodeProperties(values: PropertyValues): Uint8Array {
  const context: Uint8Array[] = [];
  for (const [name, value] of Object.entries(values) as [PropertyName, unknown][]) {
    if (value === undefined) continue;
    const id = Property[name];
    const { type } = propertyTable[id]!;
    if (type === "pair") {
      for (const [key, text] of value as readonly (readonly [string, string])[]) {
        context.push(Uint8Array.of(id), ...field(encodeUtf8(key)), ...field(encodeUtf8(text)));
      }
    } else if (type === "text") {
      context.push(Uint8Array.of(id), ...field(encodeUtf8(value as string)));
    } else if (type === "binary") {
      context.push(Uint8Array.of(id), ...field(value as Uint8Array));
    } else {
      const numbers = typeof value === "number" ? [value] : (value as readonly number[]);
      for (const number of numbers) context.push(encodeNumber(id, number));
    }
  }
  return joined(context);
}

/** A property with a number: its identifier and value. */
export function encodeNumber(id: PropertyId, value: number): Uint8Array {
  switch (propertyTable[id]!.type) {
    case "u8":
      return Uint8Array.of(id, value);
    case "u16":
      return Uint8Array.of(id, value >> 8, value & 0xff);
    case "varint": {
      const bytes = new Uint8Array(1 + remainingLengthBytes(value));
      bytes[0] = id;
      writeRemainingLength(bytes, 1, value);
      return bytes;
    }
    default:
      return Uint8Array.of(
        id,
        value >>> 24,
        (value >> 16) & 0xff,
        (value >> 8) & 0xff,
        value & 0xff,
      );
  }
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
    if (type === "pair") {
      const pairs = (values[name] as [string, string][] | undefined) ?? [];
      pairs.push([text(), text()]);
      values[name] = pairs;
    } else if (type === "text") {
      values[name] = text();
    } else if (type === "binary") {
      const from = reader.field();
      values[name] = ownBytes(bytes, from, reader.at);
    } else {
      const value =
        type === "u8"
          ? reader.u8()
          : type === "u16"
            ? reader.u16()
            : type === "u32"
              ? reader.u32()
              : reader.varint();
      const before = values[name];
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
export function joined(context: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of context) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of context) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
