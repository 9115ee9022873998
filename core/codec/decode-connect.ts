/** Decodes CONNECT of MQTT 5.0, 3.1.1 and 3.1 (§3.1 of each specification). */
import { ownBytes } from "../base/bytes.ts";
import type { ProtocolLevel, QoS } from "../boundary.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { PacketType } from "./packet.ts";
import { Property, PropertyScan, WILL_PROPERTIES } from "./properties.ts";
import { Reader } from "./reader.ts";
import { decodeUtf8 } from "./utf8.ts";

export interface ConnectPacket {
  readonly level: ProtocolLevel;
  /**
   * The top bit of the level byte is set. mosquitto and other brokers set it to connect as a
   * bridge.
   */
  readonly isBridge: boolean;
  /** Clean Session (3.1, 3.1.1) or Clean Start (5.0). */
  readonly isClean: boolean;
  /** 0: no keep alive. */
  readonly keepAliveSeconds: number;
  readonly clientId: string;
  /** Length of the client identifier in the packet, in bytes. */
  readonly clientIdBytes: number;
  readonly will: WillFields | null;
  readonly username: string | null;
  /** A copy of the packet's bytes. */
  readonly password: Uint8Array | null;
  readonly properties: ConnectProperties;
}

/**
 * The properties of a CONNECT. An absent property has the value that the specification gives it;
 * for 3.1 and 3.1.1, the value that these versions imply.
 */
export interface ConnectProperties {
  /** 0xffffffff: never expires; -1 for 3.1 and 3.1.1, where the server chooses. */
  readonly sessionExpirySeconds: number;
  readonly receiveMax: number;
  /** The largest packet that the client accepts. */
  readonly packetBytesMax: number;
  readonly topicAliasMax: number;
  readonly wantsResponseInformation: boolean;
  readonly wantsProblemInformation: boolean;
  readonly authenticationMethod: string | null;
  /** A copy of the packet's bytes. */
  readonly authenticationData: Uint8Array | null;
}

/**
 * Positions of the will in the packet. The topic range includes its length bytes, the payload range
 * does not.
 */
export interface WillFields {
  readonly topicStart: number;
  readonly topicEnd: number;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  /** Properties that are forwarded to receivers: ranges `bytes[start, end)`, two numbers each. */
  readonly propertyRanges: readonly number[];
  readonly delaySeconds: number;
  /** -1: the will message does not expire. */
  readonly expirySeconds: number;
  readonly isPayloadText: boolean;
  readonly qos: QoS;
  readonly isRetained: boolean;
}

/**
 * The fault of a CONNECT. `level` is the protocol version of the CONNACK; 0: the version is unknown
 * and no CONNACK is sent.
 */
export interface ConnectFault {
  readonly level: ProtocolLevel | 0;
  readonly fault: ReasonCode;
}

/** Decodes the variable header and payload `bytes[start, end)`, or returns their fault. */
export function decodeConnect(
  bytes: Uint8Array,
  start: number,
  end: number,
): ConnectPacket | ConnectFault {
  const reader = new Reader(bytes, start, end);
  const version = readVersion(reader);
  if ("fault" in version) return version;
  const { level, isBridge } = version;
  const malformed = { level, fault: Reason.MalformedPacket };
  const flags = reader.u8();
  const keepAliveSeconds = reader.u16();
  if (level >= 4 && (flags & Flag.Reserved) !== 0) return malformed; // [MQTT311-3.1.2-3] [MQTT-3.1.2-3]
  const hasWill = (flags & Flag.Will) !== 0;
  const willQos = (flags >> Flag.WillQosShift) & 0b11;
  const isWillRetained = (flags & Flag.WillRetain) !== 0;
  // [MQTT311-3.1.2-13] [MQTT311-3.1.2-15] [MQTT-3.1.2-11] [MQTT-3.1.2-13]
  if (!hasWill && (willQos !== 0 || isWillRetained)) return malformed;
  if (willQos === 3) return malformed; // [MQTT311-3.1.2-14] [MQTT-3.1.2-12]
  const hasUsername = (flags & Flag.Username) !== 0;
  const hasPassword = (flags & Flag.Password) !== 0;
  if (level === 4 && hasPassword && !hasUsername) return malformed; // [MQTT311-3.1.2-22]

  scan.clear();
  if (level === 5) {
    const fault = scan.read(reader, PacketType.Connect);
    if (fault !== Reason.Success) return { level, fault };
  }
  const properties = connectProperties(bytes, level);
  if (properties.authenticationData !== null && properties.authenticationMethod === null) {
    return { level, fault: Reason.ProtocolError };
  }
  const clientIdStart = reader.text();
  const clientIdEnd = reader.at;
  let will: WillFields | null = null;
  if (hasWill) {
    const fields = readWill(reader, level, willQos as QoS, isWillRetained);
    if (typeof fields === "number") return { level, fault: fields };
    will = fields;
  }
  // In 3.1 the remaining length takes precedence: a string that the flags announce may be absent.
  const isMissing = (): boolean => level === 3 && reader.at === reader.end && reader.isValid;
  let username: string | null = null;
  if (hasUsername && !isMissing()) {
    const usernameStart = reader.text();
    if (reader.isValid) username = decodeUtf8(bytes, usernameStart, reader.at);
  }
  let password: Uint8Array | null = null;
  if (hasPassword && !isMissing()) {
    const passwordStart = reader.field();
    password = ownBytes(bytes, passwordStart, reader.at);
  }
  if (!reader.isDone) return malformed;
  return {
    level,
    isBridge,
    isClean: (flags & Flag.CleanSession) !== 0,
    keepAliveSeconds,
    clientId: decodeUtf8(bytes, clientIdStart, clientIdEnd),
    clientIdBytes: clientIdEnd - clientIdStart,
    will,
    username,
    password,
    properties,
  };
}

function readVersion(reader: Reader): Pick<ConnectPacket, "level" | "isBridge"> | ConnectFault {
  const nameStart = reader.field();
  const nameEnd = reader.at;
  const byte = reader.u8();
  const isBridge = (byte & BRIDGE_LEVEL) !== 0;
  const level = byte & ~BRIDGE_LEVEL;
  if (reader.isOverrun) return { level: 0, fault: Reason.MalformedPacket };
  const { bytes } = reader;
  if (isText(bytes, nameStart, nameEnd, "MQTT")) {
    if (level === 4 || level === 5) return { level, isBridge };
    // Return code 1 in the form of 3.1.1 [MQTT311-3.1.2-2], which clients of every version so far
    // can read; 5.0 leaves the form open [MQTT-3.1.2-2].
    return { level: 4, fault: Reason.UnsupportedProtocolVersion };
  }
  if (isText(bytes, nameStart, nameEnd, "MQIsdp")) {
    if (level === 3) return { level, isBridge };
    return { level: 3, fault: Reason.UnsupportedProtocolVersion };
  }
  return { level: 0, fault: Reason.MalformedPacket }; // [MQTT311-3.1.2-1] [MQTT-3.1.2-1]
}

/** Of the properties that `scan` read last. */
function connectProperties(bytes: Uint8Array, level: ProtocolLevel): ConnectProperties {
  const method = Property.AuthenticationMethod;
  const data = Property.AuthenticationData;
  return {
    sessionExpirySeconds: level === 5 ? scan.number(Property.SessionExpiryInterval, 0) : -1,
    receiveMax: scan.number(Property.ReceiveMaximum, 65_535),
    packetBytesMax: scan.number(Property.MaximumPacketSize, Number.POSITIVE_INFINITY),
    topicAliasMax: scan.number(Property.TopicAliasMaximum, 0),
    wantsResponseInformation: scan.number(Property.RequestResponseInformation, 0) === 1,
    wantsProblemInformation: scan.number(Property.RequestProblemInformation, 1) === 1,
    authenticationMethod: scan.has(method)
      ? decodeUtf8(bytes, scan.start(method), scan.end(method))
      : null,
    authenticationData: scan.has(data) ? ownBytes(bytes, scan.start(data), scan.end(data)) : null,
  };
}

function readWill(
  reader: Reader,
  level: ProtocolLevel,
  qos: QoS,
  isRetained: boolean,
): WillFields | ReasonCode {
  scan.clear();
  if (level === 5) {
    const fault = scan.read(reader, WILL_PROPERTIES);
    if (fault !== Reason.Success) return fault;
  }
  const topicStart = reader.at;
  reader.text();
  const topicEnd = reader.at;
  const payloadStart = reader.field();
  return {
    topicStart,
    topicEnd,
    payloadStart,
    payloadEnd: reader.at,
    propertyRanges: scan.forwarded.slice(),
    delaySeconds: scan.number(Property.WillDelayInterval, 0),
    expirySeconds: scan.number(Property.MessageExpiryInterval, -1),
    isPayloadText: scan.number(Property.PayloadFormatIndicator, 0) === 1,
    qos,
    isRetained,
  };
}

/** The scanned properties: first those of the CONNECT, then those of its will. */
const scan = new PropertyScan();

function isText(bytes: Uint8Array, start: number, end: number, ascii: string): boolean {
  if (end - start !== ascii.length) return false;
  for (let i = 0; i < ascii.length; i++) if (bytes[start + i] !== ascii.charCodeAt(i)) return false;
  return true;
}

/**
 * A convention outside the specification: this bit in the level byte marks the client as a bridge.
 */
const BRIDGE_LEVEL = 0x80;

const Flag = {
  Reserved: 0x01,
  CleanSession: 0x02,
  Will: 0x04,
  WillQosShift: 3,
  WillRetain: 0x20,
  Password: 0x40,
  Username: 0x80,
} as const;
