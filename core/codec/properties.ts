/**
 * The properties of MQTT 5.0 §2.2.2: a table with one row for each, and a scan that checks the
 * properties of a packet against it. Types of values, encoding and recordings read the same table.
 */
import { NUMBER_SIGN, PLUS } from "../base/characters.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { PacketType } from "./packet.ts";
import type { Reader } from "./reader.ts";
import { VARINT_BYTES } from "./reader.ts";

/**
 * A type of a property's value, MQTT 5.0 §1.5: a number of `numberBytes`, or fields, each preceded
 * by its length in two bytes.
 */
export interface PropertyType {
  /** The length of a number; `VARINT_BYTES`: a Variable Byte Integer; -1: not a number. */
  readonly numberBytes: number;
  /** The largest number. */
  readonly max: number;
  readonly fields: 0 | 1 | 2;
  /** Whether the fields are UTF-8. */
  readonly isText: boolean;
}

/** The types by name, and the value of each in `PropertyValues`. */
interface Values {
  u8: number;
  u16: number;
  u32: number;
  varint: number | readonly number[];
  text: string;
  binary: Uint8Array;
  pair: readonly (readonly [name: string, value: string])[];
}

const number = (numberBytes: number, max: number): PropertyType => ({
  ...{ numberBytes, max, fields: 0, isText: false },
});
const fields = (count: 1 | 2, isText: boolean): PropertyType => ({
  ...{ numberBytes: -1, max: 0, fields: count, isText },
});
const types: Readonly<Record<keyof Values, PropertyType>> = {
  u8: number(1, 0xff),
  u16: number(2, 0xffff),
  u32: number(4, 0xffff_ffff),
  varint: number(VARINT_BYTES, 268_435_455),
  text: fields(1, true),
  binary: fields(1, false),
  pair: fields(2, true),
};

// biome-ignore format: it is a table
const rows = {
  PayloadFormatIndicator:     { id: 0x01, type: "u8",     places: ["Publish", "Will"], max: 1, isForwarded: true }, // [MQTT-3.3.2-4]
  MessageExpiryInterval:      { id: 0x02, type: "u32",    places: ["Publish", "Will"] },
  ContentType:                { id: 0x03, type: "text",   places: ["Publish", "Will"], isForwarded: true }, // [MQTT-3.3.2-20]
  ResponseTopic:              { id: 0x08, type: "text",   places: ["Publish", "Will"], isForwarded: true, isTopicName: true }, // [MQTT-3.3.2-15] [MQTT-3.3.2-14]
  CorrelationData:            { id: 0x09, type: "binary", places: ["Publish", "Will"], isForwarded: true }, // [MQTT-3.3.2-16]
  SubscriptionIdentifier:     { id: 0x0b, type: "varint", places: ["Publish", "Subscribe"], min: 1 },
  SessionExpiryInterval:      { id: 0x11, type: "u32",    places: ["Connect", "Connack", "Disconnect"] },
  AssignedClientIdentifier:   { id: 0x12, type: "text",   places: ["Connack"] },
  ServerKeepAlive:            { id: 0x13, type: "u16",    places: ["Connack"] },
  AuthenticationMethod:       { id: 0x15, type: "text",   places: ["Connect", "Connack", "Auth"] },
  AuthenticationData:         { id: 0x16, type: "binary", places: ["Connect", "Connack", "Auth"] },
  RequestProblemInformation:  { id: 0x17, type: "u8",     places: ["Connect"], max: 1 },
  WillDelayInterval:          { id: 0x18, type: "u32",    places: ["Will"] },
  RequestResponseInformation: { id: 0x19, type: "u8",     places: ["Connect"], max: 1 },
  ResponseInformation:        { id: 0x1a, type: "text",   places: ["Connack"] },
  ServerReference:            { id: 0x1c, type: "text",   places: ["Connack", "Disconnect"] },
  ReasonString:               { id: 0x1f, type: "text",   places: ["Connack", "Puback", "Pubrec", "Pubrel", "Pubcomp", "Suback", "Unsuback", "Disconnect", "Auth"] },
  ReceiveMaximum:             { id: 0x21, type: "u16",    places: ["Connect", "Connack"], min: 1 },
  TopicAliasMaximum:          { id: 0x22, type: "u16",    places: ["Connect", "Connack"] },
  TopicAlias:                 { id: 0x23, type: "u16",    places: ["Publish"], min: 1, fault: "TopicAliasInvalid" },
  MaximumQoS:                 { id: 0x24, type: "u8",     places: ["Connack"], max: 1 },
  RetainAvailable:            { id: 0x25, type: "u8",     places: ["Connack"], max: 1 },
  UserProperty:               { id: 0x26, type: "pair",   places: ["Connect", "Connack", "Publish", "Will", "Puback", "Pubrec", "Pubrel", "Pubcomp", "Subscribe",
                                                                   "Suback", "Unsubscribe", "Unsuback", "Disconnect", "Auth"], isMultiple: true, isForwarded: true }, // [MQTT-3.3.2-17] [MQTT-3.3.2-18]
  MaximumPacketSize:          { id: 0x27, type: "u32",    places: ["Connect", "Connack"], min: 1 },
  WildcardSubscriptionAvailable:   { id: 0x28, type: "u8", places: ["Connack"], max: 1 },
  SubscriptionIdentifierAvailable: { id: 0x29, type: "u8", places: ["Connack"], max: 1 },
  SharedSubscriptionAvailable:     { id: 0x2a, type: "u8", places: ["Connack"], max: 1 },
} as const;

/** A row of the table, MQTT 5.0 §2.2.2.2. */
interface PropertyRow {
  readonly id: number;
  readonly type: keyof Values;
  /** The packets that may contain the property. `Will`: the will of a CONNECT may. */
  readonly places: readonly (keyof typeof PacketType | "Will")[];
  /** The range of a number; by default that of the type. */
  readonly min?: number;
  readonly max?: number;
  /** A packet may contain the property more than once. */
  readonly isMultiple?: boolean;
  /** Every receiver of a PUBLISH or a will gets the property, unchanged and in order. */
  readonly isForwarded?: boolean;
  /** The text is a topic name: not empty and without wildcards [MQTT-4.7.3-1]. */
  readonly isTopicName?: boolean;
  /** The reason for a number out of range; by default ProtocolError. */
  readonly fault?: keyof typeof Reason;
}

export type PropertyName = keyof typeof rows;
export type PropertyId = (typeof rows)[PropertyName]["id"];

/** Identifiers by name. */
export const Property: { readonly [K in PropertyName]: (typeof rows)[K]["id"] } = identifiers();

/** The value of a property in `PropertyValues`. */
export type PropertyValue<K extends PropertyName> = Values[(typeof rows)[K]["type"]];

/** A place for properties: a packet type, or the will of a CONNECT. */
export type PropertyPlace = number;
export const WILL_PROPERTIES: PropertyPlace = 0;

export interface PropertySpec extends Required<Omit<PropertyRow, "type" | "places" | "fault">> {
  readonly name: PropertyName;
  readonly type: PropertyType;
  /** Bit n: packets of type n may contain the property; bit 0: a will may. */
  readonly places: number;
  readonly fault: ReasonCode;
}

/** Properties by identifier. */
export const propertyTable: readonly (PropertySpec | null)[] = table(rows);
/** One more than the largest identifier. */
const PROPERTIES = propertyTable.length;

/**
 * The result of a scan, which is valid until the next one: the same instance is used again. Numbers
 * are kept as values; texts, binaries and pairs as positions in the packet, without their lengths.
 */
export class PropertyScan {
  /** One bit per identifier, low 32 and high 32. */
  #presentLow = 0;
  #presentHigh = 0;
  readonly #numbers = new Float64Array(PROPERTIES);
  readonly #starts = new Uint32Array(PROPERTIES);
  readonly #ends = new Uint32Array(PROPERTIES);
  /** The properties that receivers get too: ranges `bytes[start, end)`, two numbers each. */
  readonly forwarded: number[] = [];

  has(id: PropertyId): boolean {
    return ((id < 32 ? this.#presentLow >>> id : this.#presentHigh >>> (id - 32)) & 1) !== 0;
  }
  /** The value of a number; `absent` if the packet does not have the property. */
  number(id: PropertyId, absent: number): number {
    return this.has(id) ? this.#numbers[id]! : absent;
  }
  start(id: PropertyId): number {
    return this.#starts[id]!;
  }
  end(id: PropertyId): number {
    return this.#ends[id]!;
  }

  /** Forgets all properties. A packet without properties looks like this. */
  clear(): void {
    this.#presentLow = 0;
    this.#presentHigh = 0;
    this.forwarded.length = 0;
  }

  /**
   * Reads the property length and the properties. Returns Success or the fault. The caller has to
   * check that the reader is not overrun.
   */
  read(reader: Reader, place: PropertyPlace): ReasonCode {
    this.clear();
    const length = reader.varint();
    const end = reader.at + length;
    if (!reader.isValid || end > reader.end) return Reason.MalformedPacket; // [MQTT-2.2.2-1]
    while (reader.at < end) {
      const start = reader.at;
      // The identifier is a Variable Byte Integer; all identifiers in use have one byte.
      const id = reader.u8();
      const property = propertyTable[id] ?? null;
      if (property === null || ((property.places >>> place) & 1) === 0) {
        return Reason.MalformedPacket;
      }
      if (this.has(id as PropertyId) && !property.isMultiple) return Reason.ProtocolError;
      const fault = this.#readValue(reader, id, property);
      if (!reader.isValid || reader.at > end) return Reason.MalformedPacket;
      if (fault !== Reason.Success) return fault;
      if (id < 32) this.#presentLow |= 1 << id;
      else this.#presentHigh |= 1 << (id - 32);
      if (!property.isForwarded) continue;
      const { forwarded } = this;
      if (forwarded.at(-1) === start) forwarded[forwarded.length - 1] = reader.at;
      else forwarded.push(start, reader.at);
    }
    return Reason.Success;
  }

  #readValue(reader: Reader, id: number, property: PropertySpec): ReasonCode {
    const { fields, numberBytes, isText } = property.type;
    if (fields === 0) {
      const value = reader.number(numberBytes);
      this.#numbers[id] = value;
      return value < property.min || value > property.max ? property.fault : Reason.Success;
    }
    const start = isText ? reader.text() : reader.field();
    if (fields === 2) reader.text(); // [MQTT-1.5.7-1]
    this.#starts[id] = start;
    this.#ends[id] = reader.at;
    const isAllowed = !property.isTopicName || canBeTopicName(reader.bytes, start, reader.at);
    return isAllowed ? Reason.Success : property.fault;
  }
}

/** Whether a text can be a topic name: not empty and without wildcards. */
function canBeTopicName(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === PLUS || bytes[i] === NUMBER_SIGN) return false;
  return end > start;
}

function identifiers(): typeof Property {
  const ids = Object.entries<PropertyRow>(rows).map(([name, { id }]) => [name, id]);
  return Object.fromEntries(ids) as typeof Property;
}

function table(byName: Readonly<Record<PropertyName, PropertyRow>>): (PropertySpec | null)[] {
  const ids = Object.values(byName).map(({ id }) => id);
  const byId = new Array<PropertySpec | null>(Math.max(...ids) + 1).fill(null);
  for (const [name, row] of Object.entries(byName) as [PropertyName, PropertyRow][]) {
    const type = types[row.type];
    const { id, min = 0, max = type.max, fault = "ProtocolError" } = row;
    const { isMultiple = false, isForwarded = false, isTopicName = false } = row;
    let places = 0;
    for (const place of row.places) places |= 1 << (place === "Will" ? 0 : PacketType[place]);
    byId[id] = {
      name,
      id,
      type,
      places,
      min,
      max,
      isMultiple,
      isForwarded,
      isTopicName,
      fault: Reason[fault],
    };
  }
  return byId;
}
