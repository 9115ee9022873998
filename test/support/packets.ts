/**
 * The vocabulary of the tests: packets of every version as bytes, and back to a line of text that a test can read.
 * `publish`, `subscribe` and `unsubscribe` write MQTT 3.1.1; `mqtt5` has the same functions for MQTT 5.0.
 */
import { Reason } from "../../core/mod.ts";
import * as wire from "../conformance/wire.ts";

export interface ConnectFields extends wire.ConnectFields {
  readonly level?: wire.Version;
}

export function connect({ level = 4, ...fields }: ConnectFields = {}): Uint8Array {
  return wire.connect(level, { clientId: "c", ...fields });
}

export interface PublishFields {
  readonly qos?: number;
  readonly id?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly props?: wire.Properties;
}

/** A topic filter with its options byte, or the properties of the packet. */
type SubscribePart = readonly [filter: string, options: number] | wire.Properties;

/** The packets of a client whose form depends on the version. */
export function packetsOf(level: wire.Version) {
  return {
    publish(topic: string, payload: string | Uint8Array = "", fields: PublishFields = {}) {
      return wire.publish(level, { topic, payload, ...fields });
    },
    /** `subscribe(1, ["a", 0], ["b", 1], { SubscriptionIdentifier: 9 })` */
    subscribe(id: number, ...parts: readonly SubscribePart[]) {
      const filters: (readonly [string, number])[] = [];
      let props: wire.Properties = {};
      for (const part of parts) {
        if (isFilter(part)) filters.push(part);
        else props = part;
      }
      return wire.subscribe(level, id, filters, props);
    },
    unsubscribe(id: number, ...filters: readonly string[]) {
      return wire.unsubscribe(level, id, filters);
    },
  };
}

function isFilter(part: SubscribePart): part is readonly [string, number] {
  return Array.isArray(part);
}

export const { publish, subscribe, unsubscribe } = packetsOf(4);
export const mqtt5 = packetsOf(5);

export const puback = (id: number): Uint8Array => wire.ack(wire.Puback, id);
export const pubrec = (id: number): Uint8Array => wire.ack(wire.Pubrec, id);
export const pubrel = (id: number): Uint8Array => wire.ack(wire.Pubrel, id);
export const pubcomp = (id: number): Uint8Array => wire.ack(wire.Pubcomp, id);
export const pingreq: Uint8Array = wire.pingreq;
export const pingresp: Uint8Array = wire.packet(0xd0);
export const disconnect: Uint8Array = wire.disconnect();
export const { auth, disconnect: disconnectWith } = wire;

export function hex(digits: string): Uint8Array {
  const pairs = digits.replaceAll(/\s/g, "").match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Splits a stream into complete packets and the rest, with the number of bytes that the rest lacks at least. */
export function split(stream: Uint8Array): {
  packets: Uint8Array[];
  rest: Uint8Array;
  missing: number;
} {
  const packets: Uint8Array[] = [];
  let at = 0;
  for (;;) {
    let remaining = 0;
    let header = 1;
    for (let shift = 0; ; shift += 7) {
      const byte = stream[at + header];
      if (byte === undefined) return { packets, rest: stream.subarray(at), missing: 1 };
      header++;
      remaining += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const end = at + header + remaining;
    const missing = end - stream.length;
    if (missing > 0) return { packets, rest: stream.subarray(at), missing };
    packets.push(stream.slice(at, end));
    at = end;
  }
}

/**
 * One packet in words: `PUBLISH a/b "x" q1 #7 retain dup`, `SUBACK #1 0 1 128`, `PINGRESP`. Of MQTT 5.0, reason codes
 * other than Success by name, then the properties:
 * `CONNACK present=0 QuotaExceeded ReasonString="too many"`, `PUBLISH a "x" q0 SubscriptionIdentifier=1,2`. A Reason
 * String that says the same as the reason code has no value: `DISCONNECT ProtocolError ReasonString`.
 */
export function describe(bytes: Uint8Array, level: wire.Version = 4): string {
  const packet = wire.firstPacket(bytes, level)!;
  return [packet.type, ...fieldsOf(packet, level), ...propertiesOf(packet)].join(" ");
}

/** The level of a stream from this packet on: a CONNACK of 5.0 has properties, and so more than two bytes. */
export function levelFrom(bytes: Uint8Array, level: wire.Version): wire.Version {
  if (bytes[0] !== 0x20) return level;
  if (bytes[1] !== 2) return 5;
  return level === 5 ? 4 : level;
}

function fieldsOf(packet: wire.Packet, level: wire.Version): (string | number)[] {
  const { type, id, reason, reasons } = packet;
  switch (type) {
    case "PUBLISH": {
      const words = [packet.topic || '""', quoted(packet.payload), `q${packet.qos}`];
      if (packet.qos > 0) words.push(`#${id}`);
      if (packet.retain) words.push("retain");
      if (packet.dup) words.push("dup");
      return words;
    }
    case "CONNACK": {
      const present = `present=${packet.flags}`;
      return level < 5 ? [present, `code=${reason}`] : [present, ...failureOf(reason)];
    }
    case "SUBACK":
      // A granted QoS is a number in every version.
      return [`#${id}`, ...reasons.map((code) => (level < 5 || code < 3 ? code : nameOf(code)))];
    case "UNSUBACK":
      return [`#${id}`, ...reasons.map(nameOf)];
    case "DISCONNECT":
    case "AUTH":
      return failureOf(reason);
    case "PINGRESP":
      return [];
    default:
      return [`#${id}`, ...failureOf(reason)];
  }
}

function propertiesOf({ props, reason, reasons }: wire.Packet): string[] {
  const saysNoMore = (text: string): boolean =>
    [reason, ...reasons].some((code) => nameOf(code).toLowerCase() === text.replaceAll(" ", ""));
  return Object.entries(props).map(([name, value]) =>
    name === "ReasonString" && saysNoMore(value as string) ? name : `${name}=${shown(value)}`,
  );
}

function shown(value: wire.Properties[string]): string {
  if (typeof value === "string") return quoted(value);
  if (value instanceof Uint8Array) return toHex(value);
  if (!Array.isArray(value)) return `${value as number}`;
  return value.map((item) => (Array.isArray(item) ? item.map(quoted).join(":") : item)).join();
}

function quoted(text: string): string {
  return text.length > 64 ? `${text.length} bytes` : `"${text}"`;
}

/** The name of a code other than Success. */
function failureOf(reason: number): string[] {
  return reason === 0 ? [] : [nameOf(reason)];
}

function nameOf(reason: number): string {
  return reasonNames.get(reason) ?? `0x${reason.toString(16)}`;
}

const reasonNames = new Map<number, string>(
  Object.entries(Reason).map(([name, code]) => [code, name]),
);

/** The packet identifier in a line. */
export function idIn(line: string): number {
  return Number(/ #(\d+)/.exec(line)![1]);
}

/** The payload in the line of a PUBLISH. */
export function payloadIn(line: string): string {
  return /^PUBLISH \S+ "(.*?)" q/.exec(line)![1]!;
}
