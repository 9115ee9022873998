/** CONNECT, of every version the broker speaks, MQTT 3.1.1 §3.1 and MQTT 3.1 §3.1. */
import { ownBytes } from "../base/bytes.ts";
import type { ProtocolLevel, QoS } from "../boundary.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { Reader } from "./reader.ts";
import { decodeUtf8 } from "./utf8.ts";

export interface ConnectPacket {
  readonly level: ProtocolLevel;
  readonly isCleanSession: boolean;
  /** 0 is never. */
  readonly keepAliveSeconds: number;
  readonly clientId: string;
  /** Bytes of the client identifier as sent. */
  readonly clientIdBytes: number;
  readonly will: WillFields | null;
  readonly username: string | null;
  /** A copy. */
  readonly password: Uint8Array | null;
}

/** Where the will stands in the packet: the topic field with its two bytes of length, the payload without. */
export interface WillFields {
  readonly topicStart: number;
  readonly topicEnd: number;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly qos: QoS;
  readonly isRetained: boolean;
}

/** Decodes the variable header and payload `bytes[start, end)`, or says what is wrong with them. */
export function decodeConnect(
  bytes: Uint8Array,
  start: number,
  end: number,
): ConnectPacket | ReasonCode {
  const reader = new Reader(bytes, start, end);
  const nameStart = reader.field();
  const nameEnd = reader.at;
  const levelByte = reader.u8();
  if (reader.isOverrun) return Reason.MalformedPacket;
  const name = isText(bytes, nameStart, nameEnd, "MQTT")
    ? "MQTT"
    : isText(bytes, nameStart, nameEnd, "MQIsdp")
      ? "MQIsdp"
      : "";
  if (name === "") return Reason.MalformedPacket; // [MQTT311-3.1.2-1]
  const level =
    name === "MQTT" && levelByte === 4 ? 4 : name === "MQIsdp" && levelByte === 3 ? 3 : 0;
  if (level === 0) return Reason.UnsupportedProtocolVersion; // [MQTT311-3.1.2-2]

  const flags = reader.u8();
  const keepAliveSeconds = reader.u16();
  if (level >= 4 && (flags & Flag.Reserved) !== 0) return Reason.MalformedPacket; // [MQTT311-3.1.2-3]
  const hasWill = (flags & Flag.Will) !== 0;
  const willQos = (flags >> Flag.WillQosShift) & 0b11;
  const isWillRetained = (flags & Flag.WillRetain) !== 0;
  if (!hasWill && (willQos !== 0 || isWillRetained)) return Reason.MalformedPacket; // [MQTT311-3.1.2-13] [MQTT311-3.1.2-15]
  if (willQos === 3) return Reason.MalformedPacket; // [MQTT311-3.1.2-14]
  const hasUsername = (flags & Flag.Username) !== 0;
  const hasPassword = (flags & Flag.Password) !== 0;
  if (level >= 4 && hasPassword && !hasUsername) return Reason.MalformedPacket; // [MQTT311-3.1.2-22]

  const clientIdStart = reader.text();
  const clientIdEnd = reader.at;
  let will: WillFields | null = null;
  if (hasWill) {
    const topicStart = reader.at;
    reader.text();
    const topicEnd = reader.at;
    const payloadStart = reader.field();
    will = {
      topicStart,
      topicEnd,
      payloadStart,
      payloadEnd: reader.at,
      qos: willQos as QoS,
      isRetained: isWillRetained,
    };
  }
  // In 3.1 the remaining length has the last word: a string that is announced may be missing.
  const isMissing = (): boolean => level === 3 && reader.at === reader.end && reader.isWell;
  let username: string | null = null;
  if (hasUsername && !isMissing()) {
    const usernameStart = reader.text();
    if (reader.isWell) username = decodeUtf8(bytes, usernameStart, reader.at);
  }
  let password: Uint8Array | null = null;
  if (hasPassword && !isMissing()) {
    const passwordStart = reader.field();
    password = ownBytes(bytes, passwordStart, reader.at);
  }
  if (!reader.isDone) return Reason.MalformedPacket;
  return {
    level,
    isCleanSession: (flags & Flag.CleanSession) !== 0,
    keepAliveSeconds,
    clientId: decodeUtf8(bytes, clientIdStart, clientIdEnd),
    clientIdBytes: clientIdEnd - clientIdStart,
    will,
    username,
    password,
  };
}

function isText(bytes: Uint8Array, start: number, end: number, ascii: string): boolean {
  if (end - start !== ascii.length) return false;
  for (let i = 0; i < ascii.length; i++) if (bytes[start + i] !== ascii.charCodeAt(i)) return false;
  return true;
}

const Flag = {
  Reserved: 0x01,
  CleanSession: 0x02,
  Will: 0x04,
  WillQosShift: 3,
  WillRetain: 0x20,
  Password: 0x40,
  Username: 0x80,
} as const;
