/** Finds the secrets of a packet: walks over its fields while the packet arrives in chunks. */
import { PacketType, Property, propertyTable, VARINT_BYTES } from "../../core/mod.ts";

/** The kind of the next bytes. */
export const SpanKind = {
  /** One byte whose value the walk needs. */ Value: 0,
  /** Bytes without a secret. */ Plain: 1,
  /** Bytes that must not be recorded. */ Secret: 2,
  /** A whole payload. */ Payload: 3,
} as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

/**
 * A walk over one packet, from its first byte. Each time `steps` yields, the next `count` bytes are of `kind`. `next` gets the
 * value of the byte that was read.
 *
 * If a packet is malformed, all its further bytes count as secret, because no broker reads them.
 */
export class PacketWalk {
  kind: SpanKind = SpanKind.Plain;
  count = 0;
  /** The packet declares its payload as UTF-8. */
  isText = false;
  /** The protocol level of the connection. CONNECT sets it. */
  level: number;
  /** The header is malformed, so that no packet can follow. */
  isLast = false;
  readonly steps: Generator<undefined, undefined, number>;
  readonly #packetBytesMax: number;
  readonly #findsPayloads: boolean;
  /** Remaining bytes of the packet. */
  #left = Number.POSITIVE_INFINITY;

  constructor(level: number, packetBytesMax: number, findsPayloads: boolean) {
    this.level = level;
    this.#packetBytesMax = packetBytesMax;
    this.#findsPayloads = findsPayloads;
    this.steps = this.#packet();
  }

  *#packet(): Generator<undefined, undefined, number> {
    const first = yield* this.#u8();
    try {
      const remaining = yield* this.#varint();
      const header =
        1 + (remaining < 0x80 ? 1 : remaining < 0x4000 ? 2 : remaining < 0x20_0000 ? 3 : 4);
      if (header + remaining > this.#packetBytesMax) throw new MalformedPacket();
      this.#left = remaining;
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error;
      this.isLast = true;
      return;
    }
    try {
      const type = first >> 4;
      if (type === PacketType.Connect) yield* this.#connect();
      else if (type === PacketType.Auth) yield* this.#auth();
      else if (type === PacketType.Publish && this.#findsPayloads) yield* this.#publish(first);
      else yield* this.#next(SpanKind.Plain, this.#left);
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error;
    }
    yield* this.#next(SpanKind.Secret, this.#left);
  }

  *#connect(): Generator<undefined, undefined, number> {
    const name: number[] = [];
    const count = yield* this.#u16();
    if (count > NAME_BYTES_MAX) throw new MalformedPacket();
    for (let i = 0; i < count; i++) name.push(yield* this.#u8());
    // The top bit identifies a bridge.
    const level = (yield* this.#u8()) & 0x7f;
    const protocol = `${String.fromCharCode(...name)} ${level}`;
    if (!["MQIsdp 3", "MQTT 4", "MQTT 5"].includes(protocol)) throw new MalformedPacket();
    this.level = level;
    const flags = yield* this.#u8();
    yield* this.#next(SpanKind.Plain, 2);
    if (level === 5) yield* this.#properties();
    yield* this.#field(SpanKind.Plain);
    if ((flags & 0x04) !== 0) {
      this.isText = false;
      if (level === 5) yield* this.#properties();
      yield* this.#field(SpanKind.Plain);
      yield* this.#field(SpanKind.Payload);
    }
    if ((flags & 0x80) !== 0) yield* this.#field(SpanKind.Plain);
    // The password: all bytes to the end of the packet count as secret, even if its length is wrong.
    if ((flags & 0x40) !== 0) yield* this.#u16();
  }

  *#publish(first: number): Generator<undefined, undefined, number> {
    yield* this.#field(SpanKind.Plain);
    if ((first & 0x06) !== 0) yield* this.#next(SpanKind.Plain, 2);
    if (this.level === 5) yield* this.#properties();
    yield* this.#next(SpanKind.Payload, this.#left);
  }

  *#auth(): Generator<undefined, undefined, number> {
    yield* this.#u8();
    yield* this.#properties();
  }

  *#properties(): Generator<undefined, undefined, number> {
    const count = yield* this.#varint();
    const end = this.#left - count;
    while (this.#left > end) {
      const id = yield* this.#u8();
      const type = propertyTable[id]?.type;
      if (type === undefined) throw new MalformedPacket();
      const kind = id === Property.AuthenticationData ? SpanKind.Secret : SpanKind.Plain;
      for (let field = 0; field < type.fields; field++) yield* this.#field(kind);
      if (id === Property.PayloadFormatIndicator) this.isText = (yield* this.#u8()) === 1;
      else if (type.numberBytes === VARINT_BYTES) yield* this.#varint();
      else if (type.numberBytes > 0) yield* this.#next(SpanKind.Plain, type.numberBytes);
    }
    if (this.#left < end) throw new MalformedPacket();
  }

  /** A length of two bytes, followed by the bytes. */
  *#field(kind: SpanKind): Generator<undefined, undefined, number> {
    yield* this.#next(kind, yield* this.#u16());
  }

  *#u16(): Generator<undefined, number, number> {
    const high = yield* this.#u8();
    return high * 256 + (yield* this.#u8());
  }

  *#varint(): Generator<undefined, number, number> {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const byte = yield* this.#u8();
      value += (byte & 0x7f) * 128 ** i;
      if (byte < 0x80) return value;
    }
    throw new MalformedPacket();
  }

  *#u8(): Generator<undefined, number, number> {
    return yield* this.#next(SpanKind.Value, 1);
  }

  *#next(kind: SpanKind, count: number): Generator<undefined, number, number> {
    if (count > this.#left) throw new MalformedPacket();
    if (count === 0) return 0;
    this.#left -= count;
    this.kind = kind;
    this.count = count;
    return yield;
  }
}

class MalformedPacket extends Error {}

/** The longest protocol name that a broker knows. */
const NAME_BYTES_MAX = 6;
