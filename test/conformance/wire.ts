/**
 * Packets of 3.1, 3.1.1 and 5.0 as a client writes and reads them. Independent of the broker's code, so that the
 * suite's verdict on a broker does not rest on that code.
 */

export type Version = 3 | 4 | 5;

export interface Properties {
  readonly [name: string]:
    | number
    | string
    | Uint8Array
    | readonly number[]
    | readonly (readonly [string, string])[]
    | undefined;
}

type Kind = "u8" | "u16" | "u32" | "varint" | "text" | "binary" | "pair";
const kinds: readonly (readonly [id: number, name: string, kind: Kind])[] = [
  [0x01, "PayloadFormatIndicator", "u8"],
  [0x02, "MessageExpiryInterval", "u32"],
  [0x03, "ContentType", "text"],
  [0x08, "ResponseTopic", "text"],
  [0x09, "CorrelationData", "binary"],
  [0x0b, "SubscriptionIdentifier", "varint"],
  [0x11, "SessionExpiryInterval", "u32"],
  [0x12, "AssignedClientIdentifier", "text"],
  [0x13, "ServerKeepAlive", "u16"],
  [0x15, "AuthenticationMethod", "text"],
  [0x16, "AuthenticationData", "binary"],
  [0x17, "RequestProblemInformation", "u8"],
  [0x18, "WillDelayInterval", "u32"],
  [0x19, "RequestResponseInformation", "u8"],
  [0x1a, "ResponseInformation", "text"],
  [0x1c, "ServerReference", "text"],
  [0x1f, "ReasonString", "text"],
  [0x21, "ReceiveMaximum", "u16"],
  [0x22, "TopicAliasMaximum", "u16"],
  [0x23, "TopicAlias", "u16"],
  [0x24, "MaximumQoS", "u8"],
  [0x25, "RetainAvailable", "u8"],
  [0x26, "UserProperty", "pair"],
  [0x27, "MaximumPacketSize", "u32"],
  [0x28, "WildcardSubscriptionAvailable", "u8"],
  [0x29, "SubscriptionIdentifierAvailable", "u8"],
  [0x2a, "SharedSubscriptionAvailable", "u8"],
];
const byName = new Map(kinds.map((kind) => [kind[1], kind]));
const byId = new Map(kinds.map((kind) => [kind[0], kind]));

export const u16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];
export const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];

export function varint(value: number): number[] {
  const bytes: number[] = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return bytes;
}

export function text(value: string | Uint8Array): number[] {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return [...u16(bytes.length), ...bytes];
}

/** Properties with their length before them; in versions without them, nothing. */
export function properties(version: Version, values: Properties = {}): number[] {
  if (version < 5) return [];
  const bytes = Object.entries(values).flatMap(([name, value]) => {
    const [id, , kind] = byName.get(name)!;
    if (value === undefined) return [];
    if (kind === "pair") {
      const pairs = value as readonly (readonly [string, string])[];
      return pairs.flatMap(([key, word]) => [id, ...text(key), ...text(word)]);
    }
    if (kind === "text" || kind === "binary") return [id, ...text(value as string | Uint8Array)];
    const numbers = typeof value === "number" ? [value] : (value as readonly number[]);
    return numbers.flatMap((number) => {
      if (kind === "u8") return [id, number];
      if (kind === "u16") return [id, ...u16(number)];
      return [id, ...(kind === "u32" ? u32(number) : varint(number))];
    });
  });
  return [...varint(bytes.length), ...bytes];
}

export function packet(first: number, ...parts: readonly ArrayLike<number>[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const header = [first, ...varint(length)];
  // Not by way of a list of numbers: the longest packet of a broker may have many megabytes.
  const bytes = new Uint8Array(header.length + length);
  bytes.set(header);
  let at = header.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export interface WillFields {
  readonly topic: string | Uint8Array;
  readonly payload?: string | Uint8Array;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly props?: Properties;
}

export interface ConnectFields {
  readonly clientId?: string | Uint8Array;
  readonly clean?: boolean;
  /** Sets the top bit of the level byte. */
  readonly isBridge?: boolean;
  readonly keepAlive?: number;
  readonly will?: WillFields;
  readonly username?: string | Uint8Array;
  readonly password?: string;
  readonly props?: Properties;
}

export function connect(version: Version, fields: ConnectFields): Uint8Array {
  const { clientId = "", clean = true, keepAlive = 0, will, username, password, props } = fields;
  const level = fields.isBridge === true ? version | 0x80 : version;
  let flags = clean ? 0x02 : 0;
  if (will !== undefined)
    flags |= 0x04 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0);
  if (username !== undefined) flags |= 0x80;
  if (password !== undefined) flags |= 0x40;
  return packet(
    0x10,
    text(version === 3 ? "MQIsdp" : "MQTT"),
    [level, flags, ...u16(keepAlive)],
    properties(version, props),
    text(clientId),
    ...(will === undefined
      ? []
      : [properties(version, will.props), text(will.topic), text(will.payload ?? "")]),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : [text(password)]),
  );
}

export interface PublishFields {
  readonly topic: string | Uint8Array;
  readonly payload?: string | Uint8Array;
  readonly qos?: number;
  readonly id?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly props?: Properties;
}

export function publish(version: Version, fields: PublishFields): Uint8Array {
  const { topic, payload = "", qos = 0, id = 1, retain = false, dup = false, props } = fields;
  const first = 0x30 | (qos << 1) | (retain ? 1 : 0) | (dup ? 8 : 0);
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return packet(first, text(topic), qos > 0 ? u16(id) : [], properties(version, props), bytes);
}

export function subscribe(
  version: Version,
  id: number,
  filters: readonly (readonly [filter: string | Uint8Array, options: number])[],
  props?: Properties,
): Uint8Array {
  const fields = filters.flatMap(([filter, options]) => [...text(filter), options]);
  return packet(0x82, u16(id), properties(version, props), fields);
}

export function unsubscribe(
  version: Version,
  id: number,
  filters: readonly (string | Uint8Array)[],
): Uint8Array {
  return packet(0xa2, u16(id), properties(version), filters.flatMap(text));
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP. */
export function ack(first: number, id: number, reason?: number): Uint8Array {
  return packet(first, u16(id), reason === undefined ? [] : [reason]);
}

export function disconnect(reason?: number, props?: Properties): Uint8Array {
  if (reason === undefined) return packet(0xe0);
  return packet(0xe0, [reason], props === undefined ? [] : properties(5, props));
}

export function auth(reason: number, props: Properties): Uint8Array {
  return packet(0xf0, [reason], properties(5, props));
}

export const pingreq: Uint8Array = packet(0xc0);
export const Puback = 0x40;
export const Pubrec = 0x50;
export const Pubrel = 0x62;
export const Pubcomp = 0x70;

export interface Packet {
  readonly type: string;
  /** The fixed header's first byte. */
  readonly first: number;
  readonly bytes: Uint8Array;
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly id: number;
  readonly sessionPresent: boolean;
  /** Byte of the CONNACK that has the Session Present bit. */
  readonly flags: number;
  readonly reason: number;
  readonly reasons: readonly number[];
  readonly props: Properties;
}

const types = [
  ...["", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP"],
  ...[
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
  ],
];

/** The first packet of `stream`, or null while it is incomplete. Throws if the packet cannot be read. */
export function firstPacket(stream: Uint8Array, version: Version): Packet | null {
  let length = 0;
  let header = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = stream[header];
    if (byte === undefined) return null;
    if (shift > 21) throw new Error("a remaining length of more than four bytes");
    header++;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  if (stream.length < header + length) return null;
  return decode(stream.slice(0, header + length), header, version);
}

function decode(bytes: Uint8Array, start: number, version: Version): Packet {
  const first = bytes[0]!;
  const reader = new FieldReader(bytes, start);
  const type = types[first >> 4]!;
  const found = {
    ...{ type, first, bytes, topic: "", payload: "", qos: 0, retain: false, dup: false, id: 0 },
    ...{
      sessionPresent: false,
      flags: 0,
      reason: 0,
      reasons: [] as number[],
      props: {} as Properties,
    },
  };
  switch (type) {
    case "CONNACK":
      found.flags = reader.u8();
      found.sessionPresent = (found.flags & 1) === 1;
      found.reason = reader.u8();
      if (version === 5) found.props = reader.properties();
      break;
    case "PUBLISH":
      found.qos = (first >> 1) & 3;
      found.retain = (first & 1) === 1;
      found.dup = (first & 8) === 8;
      found.topic = reader.text();
      if (found.qos > 0) found.id = reader.u16();
      if (version === 5) found.props = reader.properties();
      found.payload = new TextDecoder().decode(reader.rest());
      break;
    case "SUBACK":
    case "UNSUBACK":
      found.id = reader.u16();
      if (version === 5) found.props = reader.properties();
      found.reasons = [...reader.rest()];
      break;
    case "DISCONNECT":
    case "AUTH":
      if (reader.left > 0) found.reason = reader.u8();
      if (reader.left > 0) found.props = reader.properties();
      break;
    case "PINGRESP":
      break;
    default:
      found.id = reader.u16();
      if (reader.left > 0) found.reason = reader.u8();
      if (reader.left > 0) found.props = reader.properties();
  }
  if (reader.left > 0) throw new Error(`${type} has ${reader.left} bytes too many`);
  return found;
}

class FieldReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }
  u8(): number {
    if (this.left < 1) throw new Error("a packet that ends in a field");
    return this.#bytes[this.#at++]!;
  }
  u16(): number {
    return this.u8() * 256 + this.u8();
  }
  binary(): Uint8Array {
    const length = this.u16();
    if (this.left < length) throw new Error("a packet that ends in a field");
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }
  text(): string {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.binary());
  }
  varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
      if (shift === 21) throw new Error("a number of more than four bytes");
    }
  }
  rest(): Uint8Array {
    const rest = this.#bytes.subarray(this.#at);
    this.#at = this.#bytes.length;
    return rest;
  }
  properties(): Properties {
    const found: Record<string, unknown> = {};
    const end = this.varint() + this.#at;
    if (end > this.#bytes.length) throw new Error("properties that are longer than their packet");
    while (this.#at < end) {
      const id = this.varint();
      const kind = byId.get(id);
      if (kind === undefined) throw new Error(`a property that does not exist: ${id}`);
      const name = kind[1];
      const value = this.#value(kind[2]);
      const before = found[name];
      if (name === "UserProperty") found[name] = [...((before as unknown[]) ?? []), value];
      else if (before === undefined) found[name] = value;
      else if (name === "SubscriptionIdentifier") found[name] = [before, value].flat();
      else throw new Error(`${name} twice`);
    }
    if (this.#at !== end) throw new Error("properties that end in a field");
    return found as Properties;
  }
  #value(kind: Kind): unknown {
    switch (kind) {
      case "u8":
        return this.u8();
      case "u16":
        return this.u16();
      case "u32":
        return this.u16() * 65_536 + this.u16();
      case "varint":
        return this.varint();
      case "text":
        return this.text();
      case "binary":
        return this.binary();
      case "pair":
        return [this.text(), this.text()];
    }
  }
}
