/**
 * The frequent packets of the simulated clients, and all packets of the broker. Written and read by hand, because they
 * decide how many steps a second the simulator takes. control-packets.ts writes the other packets of the clients.
 */
import type { Message } from "./messages.ts";
import { topicBytes } from "./topics.ts";

export type Level = 4 | 5;

export const Type = {
  Connack: 2,
  Publish: 3,
  Puback: 4,
  Pubrec: 5,
  Pubrel: 6,
  Pubcomp: 7,
  Suback: 9,
  Unsuback: 11,
  Pingresp: 13,
  Disconnect: 14,
} as const;

/** A packet from the broker. Which fields it has depends on its type. */
export class Packet {
  readonly type: number;
  /** The packet identifier. */
  id = 0;
  /** The reason code, or the return code. */
  reason = 0;
  /** CONNACK: the session is present. */
  isPresent = false;
  qos = 0;
  isDup = false;
  isRetained = false;
  topic = 0;
  /** PUBLISH: the number of the message; 0: the payload is empty. */
  message = 0;
  /** PUBLISH: the Message Expiry Interval; -1: none. */
  expirySeconds = -1;
  /** PUBLISH: the sum of the Subscription Identifiers. */
  identifiers = 0;
  /** SUBACK and UNSUBACK. */
  codes: readonly number[] = NO_CODES;

  constructor(type: number) {
    this.type = type;
  }
}

const NO_CODES: readonly number[] = [];

/** Writes a PUBLISH at `at`; returns where it ends. Its payload is the number of the message, then padding. */
export function writePublish(
  to: Uint8Array,
  at: number,
  level: Level,
  message: Message,
  { id, isDup }: { readonly id: number; readonly isDup: boolean },
): number {
  const { qos, topic, expirySeconds } = message;
  const name = topicBytes[topic]!;
  const propertyBytes = level < 5 ? 0 : expirySeconds < 0 ? 1 : 6;
  const payloadBytes = message.payloadBytes;
  const length = 2 + name.length + (qos > 0 ? 2 : 0) + propertyBytes + payloadBytes;
  to[at++] = 0x30 | (isDup ? 8 : 0) | (qos << 1) | (message.isRetained ? 1 : 0);
  at = writeLength(to, at, length);
  at = writeShort(to, at, name.length);
  for (let i = 0; i < name.length; i++) to[at++] = name[i]!;
  if (qos > 0) at = writeShort(to, at, id);
  if (propertyBytes === 1) to[at++] = 0;
  else if (propertyBytes === 6) {
    to[at++] = 5;
    to[at++] = 0x02;
    at = writeLong(to, at, expirySeconds);
  }
  if (payloadBytes === 0) return at;
  writeLong(to, at, message.number);
  to.fill(0x2e, at + 4, at + payloadBytes);
  return at + payloadBytes;
}

/** Writes PUBACK, PUBREC, PUBREL or PUBCOMP. */
export function writeAck(to: Uint8Array, at: number, type: number, id: number): number {
  to[at++] = (type << 4) | (type === Type.Pubrel ? 2 : 0);
  to[at++] = 2;
  return writeShort(to, at, id);
}

/**
 * Reads the packets of one connection from the broker's output. Throws for output that is not a packet, so that a run
 * fails.
 */
export class PacketReader {
  readonly #level: Level;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  /** Topics by topic alias. */
  readonly #aliases: number[] = [];

  constructor(level: Level) {
    this.#level = level;
  }

  /** Reads the packets of `bytes[0, length)`, which are whole packets, and of `tail` behind them. */
  read(bytes: Uint8Array, length: number, tail: Uint8Array | null, to: Packet[]): void {
    if (tail === null) {
      this.#bytes = bytes;
      this.#end = length;
    } else {
      this.#bytes = new Uint8Array(length + tail.length);
      this.#bytes.set(bytes.subarray(0, length));
      this.#bytes.set(tail, length);
      this.#end = this.#bytes.length;
    }
    this.#at = 0;
    while (this.#at < this.#end) to.push(this.#packet());
  }

  #packet(): Packet {
    const first = this.#byte();
    const length = this.#varint();
    const end = this.#at + length;
    if (end > this.#end) throw new Error("the broker wrote an incomplete packet");
    const packet = new Packet(first >> 4);
    if (packet.type === Type.Publish) this.#publish(packet, first, end);
    else this.#others(packet, end);
    if (this.#at !== end) throw new Error(`a packet of type ${packet.type} has bytes too many`);
    return packet;
  }

  #publish(packet: Packet, first: number, end: number): void {
    packet.qos = (first >> 1) & 3;
    packet.isDup = (first & 8) !== 0;
    packet.isRetained = (first & 1) !== 0;
    const nameBytes = this.#short();
    // The last byte of a name tells the topic.
    const topic = nameBytes === 0 ? -1 : this.#bytes[this.#at + nameBytes - 1]! - 0x30;
    if (topic >= 0 && nameBytes !== topicBytes[topic]?.length) throw new Error("unknown topic");
    this.#at += nameBytes;
    if (packet.qos > 0) packet.id = this.#short();
    let alias = 0;
    if (this.#level === 5) {
      const propertyBytes = this.#varint();
      for (const propertyEnd = this.#at + propertyBytes; this.#at < propertyEnd; ) {
        const property = this.#byte();
        if (property === 0x02) packet.expirySeconds = this.#long();
        else if (property === 0x0b) packet.identifiers += this.#varint();
        else if (property === 0x23) alias = this.#short();
        else throw new Error(`a PUBLISH with property ${property}`);
      }
    }
    if (alias !== 0 && topic >= 0) this.#aliases[alias] = topic;
    packet.topic = topic >= 0 ? topic : (this.#aliases[alias] ?? -1);
    if (packet.topic < 0) throw new Error("a PUBLISH with an unknown topic alias");
    packet.message = this.#at === end ? 0 : this.#long();
    this.#at = end;
  }

  #others(packet: Packet, end: number): void {
    switch (packet.type) {
      case Type.Connack:
        packet.isPresent = (this.#byte() & 1) !== 0;
        packet.reason = this.#byte();
        this.#at = end;
        break;
      case Type.Puback:
      case Type.Pubrec:
      case Type.Pubrel:
      case Type.Pubcomp:
        packet.id = this.#short();
        if (this.#at < end) packet.reason = this.#byte();
        this.#at = end;
        break;
      case Type.Suback:
      case Type.Unsuback: {
        packet.id = this.#short();
        const propertyBytes = this.#level === 5 ? this.#varint() : 0;
        this.#at += propertyBytes;
        const codes: number[] = [];
        while (this.#at < end) codes.push(this.#byte());
        packet.codes = codes;
        break;
      }
      case Type.Disconnect:
        if (this.#at < end) packet.reason = this.#byte();
        this.#at = end;
        break;
      case Type.Pingresp:
        break;
      default:
        throw new Error(`the broker sent a packet of type ${packet.type}`);
    }
  }

  #byte(): number {
    return this.#bytes[this.#at++]!;
  }
  #short(): number {
    return (this.#byte() << 8) | this.#byte();
  }
  #long(): number {
    return this.#short() * 65_536 + this.#short();
  }
  #varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
}

export function writeLength(to: Uint8Array, at: number, length: number): number {
  for (; length > 0x7f; length >>= 7) to[at++] = (length & 0x7f) | 0x80;
  to[at++] = length;
  return at;
}

export function writeShort(to: Uint8Array, at: number, value: number): number {
  to[at] = value >> 8;
  to[at + 1] = value & 0xff;
  return at + 2;
}

export function writeLong(to: Uint8Array, at: number, value: number): number {
  return writeShort(to, writeShort(to, at, value >>> 16), value & 0xffff);
}
