/**
 * The properties of MQTT 5.0 §2.2.2: a table of their types and of the packets that may contain
 * them, and a scan that checks the properties of a packet against it.
 */
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { PacketType } from "./packet.ts";
import type { Reader } from "./reader.ts";

export const Property = {
  PayloadFormatIndicator: 0x01,
  MessageExpiryInterval: 0x02,
  ContentType: 0x03,
  ResponseTopic: 0x08,
  CorrelationData: 0x09,
  SubscriptionIdentifier: 0x0b,
  SessionExpiryInterval: 0x11,
  AssignedClientIdentifier: 0x12,
  ServerKeepAlive: 0x13,
  AuthenticationMethod: 0x15,
  AuthenticationData: 0x16,
  RequestProblemInformation: 0x17,
  WillDelayInterval: 0x18,
  RequestResponseInformation: 0x19,
  ResponseInformation: 0x1a,
  ServerReference: 0x1c,
  ReasonString: 0x1f,
  ReceiveMaximum: 0x21,
  TopicAliasMaximum: 0x22,
  TopicAlias: 0x23,
  MaximumQoS: 0x24,
  RetainAvailable: 0x25,
  UserProperty: 0x26,
  MaximumPacketSize: 0x27,
  WildcardSubscriptionAvailable: 0x28,
  SubscriptionIdentifierAvailable: 0x29,
  SharedSubscriptionAvailable: 0x2a,
} as const;
export type PropertyId = (typeof Property)[keyof typeof Property];
export type PropertyName = keyof typeof Property;

export type PropertyType = "u8" | "u16" | "u32" | "varint" | "text" | "binary" | "pair";

/** A place for properties: a packet type, or the will of a CONNECT. */
export type PropertyPlace = number;
export const WILL_PROPERTIES: PropertyPlace = 0;

export interface PropertySpec {
  readonly name: PropertyName;
  readonly type: PropertyType;
  /** Bit n: packets of type n may contain the property; bit 0: a will may. */
  readonly places: number;
  /** Whether a packet may contain it more than once. */
  readonly isMultiple: boolean;
  readonly min: number;
  readonly max: number;
  /** The fault if the value is out of range. */
  readonly fault: ReasonCode;
}

/** One more than the largest identifier. */
const PROPERTIES = 0x2b;
const { Connect, Connack, Publish, Puback, Pubrec, Pubrel, Pubcomp } = PacketType;
const { Subscribe, Suback, Unsubscribe, Unsuback, Disconnect, Auth } = PacketType;
const Will = WILL_PROPERTIES;
const acknowledgements = [Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback];
const truth = { max: 1 };

/** MQTT 5.0 §2.2.2.2, by identifier. */
export const propertyTable: readonly (PropertySpec | null)[] = table([
  spec("PayloadFormatIndicator", "u8", [Publish, Will], truth),
  spec("MessageExpiryInterval", "u32", [Publish, Will]),
  spec("ContentType", "text", [Publish, Will]),
  spec("ResponseTopic", "text", [Publish, Will]),
  spec("CorrelationData", "binary", [Publish, Will]),
  spec("SubscriptionIdentifier", "varint", [Publish, Subscribe], { min: 1 }),
  spec("SessionExpiryInterval", "u32", [Connect, Connack, Disconnect]),
  spec("AssignedClientIdentifier", "text", [Connack]),
  spec("ServerKeepAlive", "u16", [Connack]),
  spec("AuthenticationMethod", "text", [Connect, Connack, Auth]),
  spec("AuthenticationData", "binary", [Connect, Connack, Auth]),
  spec("RequestProblemInformation", "u8", [Connect], truth),
  spec("WillDelayInterval", "u32", [Will]),
  spec("RequestResponseInformation", "u8", [Connect], truth),
  spec("ResponseInformation", "text", [Connack]),
  spec("ServerReference", "text", [Connack, Disconnect]),
  spec("ReasonString", "text", [Connack, ...acknowledgements, Disconnect, Auth]),
  spec("ReceiveMaximum", "u16", [Connect, Connack], { min: 1 }),
  spec("TopicAliasMaximum", "u16", [Connect, Connack]),
  spec("TopicAlias", "u16", [Publish], { min: 1, fault: Reason.TopicAliasInvalid }),
  spec("MaximumQoS", "u8", [Connack], truth),
  spec("RetainAvailable", "u8", [Connack], truth),
  spec(
    "UserProperty",
    "pair",
    [
      ...[Connect, Connack, Publish, Will, ...acknowledgements],
      ...[Subscribe, Unsubscribe, Disconnect, Auth],
    ],
    { isMultiple: true },
  ),
  spec("MaximumPacketSize", "u32", [Connect, Connack], { min: 1 }),
  spec("WildcardSubscriptionAvailable", "u8", [Connack], truth),
  spec("SubscriptionIdentifierAvailable", "u8", [Connack], truth),
  spec("SharedSubscriptionAvailable", "u8", [Connack], truth),
]);

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
  /** The value of a number, or `otherwise` if the property is absent. */
  number(id: PropertyId, otherwise: number): number {
    return this.has(id) ? this.#numbers[id]! : otherwise;
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
   * Reads the property length and the properties; the reader then stands behind them. Returns
   * Success or the fault. The caller has to check that the reader is not overrun.
   */
  read(reader: Reader, place: PropertyPlace): ReasonCode {
    this.clear();
    const length = reader.varint();
    const end = reader.at + length;
    if (!reader.isWell || end > reader.end) return Reason.MalformedPacket; // [MQTT-2.2.2-1]
    while (reader.at < end) {
      const start = reader.at;
      // The identifier is a Variable Byte Integer; all identifiers in use have one byte.
      const id = reader.u8();
      const property = propertyTable[id] ?? null;
      if (property === null || ((property.places >>> place) & 1) === 0) {
        return Reason.MalformedPacket;
      }
      if (this.has(id as PropertyId) && !property.isMultiple) return Reason.ProtocolError;
      this.#readValue(reader, id, property.type);
      if (!reader.isWell || reader.at > end) return Reason.MalformedPacket;
      if (isNumber(property.type)) {
        const value = this.#numbers[id]!;
        if (value < property.min || value > property.max) return property.fault;
      }
      if (id === Property.ResponseTopic && !mayBeName(reader.bytes, this.start(id), this.end(id))) {
        return Reason.ProtocolError; // [MQTT-3.3.2-14] [MQTT-4.7.3-1]
      }
      if (id < 32) this.#presentLow |= 1 << id;
      else this.#presentHigh |= 1 << (id - 32);
      if (!isForReceiver(id)) continue;
      const { forwarded } = this;
      if (forwarded.at(-1) === start) forwarded[forwarded.length - 1] = reader.at;
      else forwarded.push(start, reader.at);
    }
    return Reason.Success;
  }

  #readValue(reader: Reader, id: number, type: PropertyType): void {
    switch (type) {
      case "u8":
        this.#numbers[id] = reader.u8();
        return;
      case "u16":
        this.#numbers[id] = reader.u16();
        return;
      case "u32":
        this.#numbers[id] = reader.u32();
        return;
      case "varint":
        this.#numbers[id] = reader.varint();
        return;
      case "binary":
        this.#starts[id] = reader.field();
        break;
      case "text":
        this.#starts[id] = reader.text();
        break;
      case "pair":
        this.#starts[id] = reader.text();
        reader.text(); // [MQTT-1.5.7-1]
    }
    this.#ends[id] = reader.at;
  }
}

/** Whether a text can be a topic name: not empty and without wildcards. */
function mayBeName(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === PLUS || bytes[i] === HASH) return false;
  return end > start;
}
const PLUS = 0x2b;
const HASH = 0x23;

/** Properties of a PUBLISH or a will that every receiver gets, unchanged and in order. */
function isForReceiver(id: number): boolean {
  return (
    id === Property.UserProperty || // [MQTT-3.3.2-17] [MQTT-3.3.2-18]
    id === Property.PayloadFormatIndicator || // [MQTT-3.3.2-4]
    id === Property.ContentType || // [MQTT-3.3.2-20]
    id === Property.ResponseTopic || // [MQTT-3.3.2-15]
    id === Property.CorrelationData // [MQTT-3.3.2-16]
  );
}

export function isNumber(type: PropertyType): boolean {
  return type === "u8" || type === "u16" || type === "u32" || type === "varint";
}

function spec(
  name: PropertyName,
  type: PropertyType,
  places: readonly PropertyPlace[],
  rules: { min?: number; max?: number; isMultiple?: boolean; fault?: ReasonCode } = {},
): PropertySpec {
  const { min = 0, max = 0xffff_ffff, isMultiple = false, fault = Reason.ProtocolError } = rules;
  const bits = places.reduce((sum, place) => sum | (1 << place), 0);
  return { name, type, places: bits, isMultiple, min, max, fault };
}

function table(specs: readonly PropertySpec[]): (PropertySpec | null)[] {
  const byId = new Array<PropertySpec | null>(PROPERTIES).fill(null);
  for (const property of specs) byId[Property[property.name]] = property;
  return byId;
}
