/** Encodes the packets of an MQTT 5.0 client and decodes those of the broker, with the core's codec. */
import type { PropertyValues, QoS } from "../../core/mod.ts";
import {
  decodeProperties,
  decodeUtf8,
  encodeAck,
  encodeProperties,
  encodeUtf8,
  frameBytes,
  joined,
  PacketType,
  packet,
  Reader,
  Reason,
  u16,
  withLength,
} from "../../core/mod.ts";
import type { CheckedMessage } from "../checks.ts";

/** The fields of CONNECT. The caller has checked them. */
export interface ConnectFields {
  readonly clientId: string;
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly properties: PropertyValues;
  readonly will: PublishFields | undefined;
}

/** The fields of PUBLISH or of a will. */
export type PublishFields = CheckedMessage;

/** A packet from the broker. */
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
    withLength(encodeProperties(properties)),
    text(clientId),
    ...(will === undefined
      ? []
      : [withLength(encodeProperties(will.properties)), text(will.topic), ...field(will.payload)]),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : field(password)),
  );
}

/** `packetId` is not used at QoS 0. A caller that resends the packet sets DUP in its first byte. */
export function encodePublish(fields: PublishFields, packetId: number): Uint8Array {
  const { topic, payload, qos, retain, properties } = fields;
  return packet(
    (PacketType.Publish << 4) | (qos << 1) | (retain ? 1 : 0),
    text(topic),
    ...(qos === 0 ? [] : [u16(packetId)]),
    withLength(encodeProperties(properties)),
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
  const encoded = withLength(encodeProperties(properties));
  return packet(0x82, u16(packetId), encoded, text(filter), Uint8Array.of(options));
}

export function encodeUnsubscribe(packetId: number, filters: readonly string[]): Uint8Array {
  const texts = filters.map(text);
  return packet(0xa2, u16(packetId), Uint8Array.of(0), ...texts);
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP without properties, in the shortest form. */
export function encodeShortAck(firstByte: number, packetId: number, reason = 0): Uint8Array {
  if (reason !== Reason.Success) return encodeAck(firstByte, packetId, reason, {});
  return packet(firstByte, u16(packetId));
}

export const pingreq: Uint8Array = Uint8Array.of(PacketType.Pingreq << 4, 0);

/** Decodes packets from a stream of bytes that arrives in chunks. */
export class PacketReader {
  #rest = new Uint8Array(0);

  /** The packets that are complete with `bytes`. `bytes` belongs to the reader. */
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

/** A UTF-8 string after its length. */
function text(value: string): Uint8Array {
  return joined(field(encodeUtf8(value)));
}

function field(bytes: Uint8Array): Uint8Array[] {
  return [u16(bytes.length), bytes];
}
