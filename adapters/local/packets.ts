/** MQTT 5.0 as a client writes and reads it, by the core's own codec. */
import type { PropertyName, PropertyPlace, PropertyValues, QoS } from "../../core/mod.ts";
import {
  ConfigError,
  decodeProperties,
  decodeUtf8,
  encodeAck,
  encodeProperties,
  encodeUtf8,
  frameBytes,
  PacketType,
  Property,
  packet,
  propertyTable,
  Reader,
  Reason,
  sized,
  u16,
} from "../../core/mod.ts";

/** What CONNECT says. */
export interface ConnectFields {
  readonly clientId: string;
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly properties: PropertyValues;
  readonly will: WillFields | undefined;
}

export interface WillFields extends PublishFields {
  readonly properties: PropertyValues;
}

export interface PublishFields {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties: PropertyValues;
}

/** What a broker says to a client. */
export type ServerPacket =
  | {
      readonly type: "connack";
      readonly sessionPresent: boolean;
      readonly reason: number;
      readonly properties: PropertyValues;
    }
  | (PublishFields & {
      readonly type: "publish";
      readonly dup: boolean;
      /** 0 at QoS 0. */
      readonly packetId: number;
    })
  | {
      readonly type: "puback" | "pubrec" | "pubrel" | "pubcomp";
      readonly packetId: number;
      readonly reason: number;
      readonly properties: PropertyValues;
    }
  | {
      readonly type: "suback" | "unsuback";
      readonly packetId: number;
      readonly reasons: readonly number[];
      readonly properties: PropertyValues;
    }
  | {
      readonly type: "disconnect" | "auth";
      readonly reason: number;
      readonly properties: PropertyValues;
    }
  | { readonly type: "pingresp" };

export function encodeConnect(fields: ConnectFields): Uint8Array {
  const { clientId, cleanStart, keepAliveSeconds, username, password, properties, will } = fields;
  let flags = cleanStart ? 0x02 : 0;
  if (will !== undefined) flags |= 0x04 | (will.qos << 3) | (will.retain ? 0x20 : 0);
  if (username !== undefined) flags |= 0x80;
  if (password !== undefined) flags |= 0x40;
  return packet(
    PacketType.Connect << 4,
    Uint8Array.of(0, 4, 0x4d, 0x51, 0x54, 0x54, 5, flags),
    u16(keepAliveSeconds),
    sized(encodeProperties(properties)),
    text("clientId", clientId),
    ...(will === undefined
      ? []
      : [
          sized(encodeProperties(will.properties)),
          text("will.topic", will.topic),
          ...field("will.payload", will.payload),
        ]),
    ...(username === undefined ? [] : [text("username", username)]),
    ...(password === undefined ? [] : field("password", password)),
  );
}

/** `packetId` is 0 at QoS 0. DUP is set in its first byte where it is sent again. */
export function encodePublish(fields: PublishFields, packetId: number): Uint8Array {
  const { topic, payload, qos, retain, properties } = fields;
  return packet(
    (PacketType.Publish << 4) | (qos << 1) | (retain ? 1 : 0),
    text("topic", topic),
    ...(qos === 0 ? [] : [u16(packetId)]),
    sized(encodeProperties(properties)),
    payload,
  );
}

/** `options` is the byte of subscription options, MQTT 5.0 §3.8.3.1. */
export function encodeSubscribe(
  packetId: number,
  filter: string,
  options: number,
  properties: PropertyValues,
): Uint8Array {
  const fields = sized(encodeProperties(properties));
  const options8 = Uint8Array.of(options);
  return packet(0x82, u16(packetId), fields, text("filter", filter), options8);
}

export function encodeUnsubscribe(packetId: number, filters: readonly string[]): Uint8Array {
  const texts = filters.map((filter) => text("filter", filter));
  return packet(0xa2, u16(packetId), Uint8Array.of(0), ...texts);
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP. */
export function encodeAnswer(firstByte: number, packetId: number, reason = 0): Uint8Array {
  if (reason !== Reason.Success) return encodeAck(firstByte, packetId, reason, {});
  return packet(firstByte, u16(packetId));
}

export const pingreq: Uint8Array = Uint8Array.of(PacketType.Pingreq << 4, 0);

/** Takes whole packets out of a stream of bytes that comes in pieces. */
export class PacketReader {
  #rest = new Uint8Array(0);

  /** The packets that are complete with `bytes`, which are the reader's from now on. */
  read(bytes: Uint8Array): ServerPacket[] {
    let all = bytes;
    if (this.#rest.length > 0) {
      all = new Uint8Array(this.#rest.length + bytes.length);
      all.set(this.#rest);
      all.set(bytes, this.#rest.length);
    }
    const packets: ServerPacket[] = [];
    let at = 0;
    for (;;) {
      const length = frameBytes(all, at, all.length);
      if (length <= 0 || at + length > all.length) break;
      packets.push(decode(all, at, at + length));
      at += length;
    }
    this.#rest = new Uint8Array(all.subarray(at));
    return packets;
  }
}

function decode(bytes: Uint8Array, start: number, end: number): ServerPacket {
  const reader = new Reader(bytes, start, end);
  const first = reader.u8();
  reader.varint();
  const type = names[first >> 4]!;
  const properties = (): PropertyValues => {
    if (reader.at === end) return {};
    const length = reader.varint();
    const from = reader.at;
    reader.at += length;
    return decodeProperties(bytes, from, reader.at);
  };
  switch (type) {
    case "connack":
      return {
        type,
        sessionPresent: (reader.u8() & 1) !== 0,
        reason: reader.u8(),
        properties: properties(),
      };
    case "publish": {
      const from = reader.field();
      const topic = decodeUtf8(bytes, from, reader.at);
      const qos = ((first >> 1) & 3) as QoS;
      return {
        type,
        topic,
        qos,
        retain: (first & 1) !== 0,
        dup: (first & 8) !== 0,
        packetId: qos === 0 ? 0 : reader.u16(),
        properties: properties(),
        payload: new Uint8Array(bytes.subarray(reader.at, end)),
      };
    }
    case "suback":
    case "unsuback":
      return {
        type,
        packetId: reader.u16(),
        properties: properties(),
        reasons: Array.from(bytes.subarray(reader.at, end)),
      };
    case "pingresp":
      return { type };
    case "disconnect":
    case "auth":
      return {
        type,
        reason: reader.at === end ? Reason.Success : reader.u8(),
        properties: properties(),
      };
    default:
      return {
        type,
        packetId: reader.u16(),
        reason: reader.at === end ? Reason.Success : reader.u8(),
        properties: properties(),
      };
  }
}

const names: Readonly<Record<number, ServerPacket["type"]>> = {
  [PacketType.Connack]: "connack",
  [PacketType.Publish]: "publish",
  [PacketType.Puback]: "puback",
  [PacketType.Pubrec]: "pubrec",
  [PacketType.Pubrel]: "pubrel",
  [PacketType.Pubcomp]: "pubcomp",
  [PacketType.Suback]: "suback",
  [PacketType.Unsuback]: "unsuback",
  [PacketType.Pingresp]: "pingresp",
  [PacketType.Disconnect]: "disconnect",
  [PacketType.Auth]: "auth",
};

/**
 * Throws ConfigError where `values` has a property that may not stand at `place`, is one of `reserved`, or
 * has a value that it cannot have.
 */
export function checkProperties(
  values: PropertyValues,
  place: PropertyPlace,
  reserved: readonly PropertyName[] = [],
): void {
  const allowed = propertyTable.flatMap((spec) =>
    spec !== null && ((spec.places >>> place) & 1) !== 0 && !reserved.includes(spec.name)
      ? [spec.name]
      : [],
  );
  for (const [name, value] of Object.entries(values) as [PropertyName, unknown][]) {
    if (value === undefined) continue;
    if (!allowed.includes(name)) throw new ConfigError("properties", name, allowed.join(", "));
    const { type, min, max } = propertyTable[Property[name]]!;
    const says = (what: string): never => {
      throw new ConfigError(`properties.${name}`, value, what);
    };
    if (type === "text") {
      if (typeof value !== "string") says("a text");
      text(`properties.${name}`, value as string);
    } else if (type === "binary") {
      if (!(value instanceof Uint8Array) || value.length > FIELD_BYTES_MAX) {
        says(`a Uint8Array of at most ${FIELD_BYTES_MAX} bytes`);
      }
    } else if (type === "pair") {
      if (!Array.isArray(value)) says("a list of pairs of texts");
      for (const pair of value as unknown[]) {
        if (!Array.isArray(pair) || pair.length !== 2) says("a list of pairs of texts");
        for (const part of pair as unknown[]) {
          if (typeof part !== "string") says("a list of pairs of texts");
          text(`properties.${name}`, part as string);
        }
      }
    } else {
      const most = Math.min(max, numberMax[type]);
      const isNumber = typeof value === "number" && Number.isInteger(value);
      if (!isNumber || value < min || value > most) says(`a whole number from ${min} to ${most}`);
    }
  }
}

const numberMax = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff, varint: 268_435_455 } as const;

/** A UTF-8 string with its length. Throws ConfigError where MQTT has none such. */
function text(name: string, value: string): Uint8Array {
  const bytes = encodeUtf8(value);
  if (bytes.length > FIELD_BYTES_MAX || bytes.includes(0)) {
    throw new ConfigError(name, value, `at most ${FIELD_BYTES_MAX} bytes, without U+0000`);
  }
  const whole = new Uint8Array(2 + bytes.length);
  whole.set(u16(bytes.length));
  whole.set(bytes, 2);
  return whole;
}

function field(name: string, bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > FIELD_BYTES_MAX) {
    throw new ConfigError(name, `${bytes.length} bytes`, `at most ${FIELD_BYTES_MAX} bytes`);
  }
  return [u16(bytes.length), bytes];
}

const FIELD_BYTES_MAX = 65_535;
