/** Where the secrets of a packet are: a walk over its fields that takes them as they come. */
import { PacketType, Property, propertyTable, VARINT_BYTES } from "../../core/mod.ts";

/** What becomes of the next bytes. */
export const Take = {
  /** One, whose value the walk wants. */ Read: 0,
  /** They are nobody's secret. */ Pass: 1,
  /** They are not to be known. */ Secret: 2,
  /** They are the whole of a payload. */ Payload: 3,
} as const;
export type Take = (typeof Take)[keyof typeof Take];

/**
 * Over one packet, its header included. Each time `steps` yields, `count` bytes are to be taken as `take`
 * says, and it is gone on with the value of the byte that was read.
 *
 * What does not have the form of its type is secret from there on: no broker reads it.
 */
export class PacketWalk {
  take: Take = Take.Pass;
  count = 0;
  /** The payload is said to be text. */
  isText = false;
  /** Of the connection; its CONNECT sets it. */
  level: number;
  /** No packet can follow. */
  isLost = false;
  readonly steps: Generator<undefined, undefined, number>;
  readonly #packetBytesMax: number;
  readonly #looksForPayloads: boolean;
  /** Bytes of the packet that have not been taken. */
  #left = Number.POSITIVE_INFINITY;

  constructor(level: number, packetBytesMax: number, looksForPayloads: boolean) {
    this.level = level;
    this.#packetBytesMax = packetBytesMax;
    this.#looksForPayloads = looksForPayloads;
    this.steps = this.#packet();
  }

  *#packet(): Generator<undefined, undefined, number> {
    const first = yield* this.#u8();
    try {
      const remaining = yield* this.#varint();
      const header =
        1 + (remaining < 0x80 ? 1 : remaining < 0x4000 ? 2 : remaining < 0x20_0000 ? 3 : 4);
      if (header + remaining > this.#packetBytesMax) throw new IllFormed();
      this.#left = remaining;
    } catch (error) {
      if (!(error instanceof IllFormed)) throw error;
      this.isLost = true;
      return;
    }
    try {
      const type = first >> 4;
      if (type === PacketType.Connect) yield* this.#connect();
      else if (type === PacketType.Auth) yield* this.#auth();
      else if (type === PacketType.Publish && this.#looksForPayloads) yield* this.#publish(first);
      else yield* this.#next(Take.Pass, this.#left);
    } catch (error) {
      if (!(error instanceof IllFormed)) throw error;
    }
    yield* this.#next(Take.Secret, this.#left);
  }

  *#connect(): Generator<undefined, undefined, number> {
    const name: number[] = [];
    const count = yield* this.#u16();
    if (count > NAME_BYTES_MAX) throw new IllFormed();
    for (let i = 0; i < count; i++) name.push(yield* this.#u8());
    // The top bit says that the client is a bridge.
    const level = (yield* this.#u8()) & 0x7f;
    const protocol = `${String.fromCharCode(...name)} ${level}`;
    if (!["MQIsdp 3", "MQTT 4", "MQTT 5"].includes(protocol)) throw new IllFormed();
    this.level = level;
    const flags = yield* this.#u8();
    yield* this.#next(Take.Pass, 2);
    if (level === 5) yield* this.#properties();
    yield* this.#field(Take.Pass);
    if ((flags & 0x04) !== 0) {
      this.isText = false;
      if (level === 5) yield* this.#properties();
      yield* this.#field(Take.Pass);
      yield* this.#field(Take.Payload);
    }
    if ((flags & 0x80) !== 0) yield* this.#field(Take.Pass);
    // To the end of the packet, whatever the password's length says.
    if ((flags & 0x40) !== 0) yield* this.#u16();
  }

  *#publish(first: number): Generator<undefined, undefined, number> {
    yield* this.#field(Take.Pass);
    if ((first & 0x06) !== 0) yield* this.#next(Take.Pass, 2);
    if (this.level === 5) yield* this.#properties();
    yield* this.#next(Take.Payload, this.#left);
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
      if (type === undefined) throw new IllFormed();
      const take = id === Property.AuthenticationData ? Take.Secret : Take.Pass;
      for (let field = 0; field < type.fields; field++) yield* this.#field(take);
      if (id === Property.PayloadFormatIndicator) this.isText = (yield* this.#u8()) === 1;
      else if (type.numberBytes === VARINT_BYTES) yield* this.#varint();
      else if (type.numberBytes > 0) yield* this.#next(Take.Pass, type.numberBytes);
    }
    if (this.#left < end) throw new IllFormed();
  }

  /** Two bytes of length, and so many bytes. */
  *#field(take: Take): Generator<undefined, undefined, number> {
    yield* this.#next(take, yield* this.#u16());
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
    throw new IllFormed();
  }

  *#u8(): Generator<undefined, number, number> {
    return yield* this.#next(Take.Read, 1);
  }

  *#next(take: Take, count: number): Generator<undefined, number, number> {
    if (count > this.#left) throw new IllFormed();
    if (count === 0) return 0;
    this.#left -= count;
    this.take = take;
    this.count = count;
    return yield;
  }
}

class IllFormed extends Error {}

/** A longer one is none that a broker knows. */
const NAME_BYTES_MAX = 6;
