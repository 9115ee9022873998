/**
 * Reason codes: one table for all versions, numbered as MQTT 5.0 §2.4 numbers them.
 *
 * The core uses these reason codes throughout; this file maps them to the codes of older versions.
 */
export const Reason = {
  Success: 0x00,
  GrantedQoS1: 0x01,
  GrantedQoS2: 0x02,
  DisconnectWithWill: 0x04,
  NoMatchingSubscribers: 0x10,
  NoSubscriptionExisted: 0x11,
  ContinueAuthentication: 0x18,
  Reauthenticate: 0x19,
  Unspecified: 0x80,
  MalformedPacket: 0x81,
  ProtocolError: 0x82,
  ImplementationSpecific: 0x83,
  UnsupportedProtocolVersion: 0x84,
  ClientIdentifierNotValid: 0x85,
  BadUserNameOrPassword: 0x86,
  NotAuthorized: 0x87,
  ServerUnavailable: 0x88,
  ServerBusy: 0x89,
  Banned: 0x8a,
  ServerShuttingDown: 0x8b,
  BadAuthenticationMethod: 0x8c,
  KeepAliveTimeout: 0x8d,
  SessionTakenOver: 0x8e,
  TopicFilterInvalid: 0x8f,
  TopicNameInvalid: 0x90,
  PacketIdentifierInUse: 0x91,
  PacketIdentifierNotFound: 0x92,
  ReceiveMaximumExceeded: 0x93,
  TopicAliasInvalid: 0x94,
  PacketTooLarge: 0x95,
  MessageRateTooHigh: 0x96,
  QuotaExceeded: 0x97,
  AdministrativeAction: 0x98,
  PayloadFormatInvalid: 0x99,
  RetainNotSupported: 0x9a,
  QoSNotSupported: 0x9b,
  UseAnotherServer: 0x9c,
  ServerMoved: 0x9d,
  SharedSubscriptionsNotSupported: 0x9e,
  ConnectionRateExceeded: 0x9f,
  MaximumConnectTime: 0xa0,
  SubscriptionIdentifiersNotSupported: 0xa1,
  WildcardSubscriptionsNotSupported: 0xa2,
} as const;
export type ReasonCode = (typeof Reason)[keyof typeof Reason];

/** The packet is to be handled again after the host has decided. */
export const PENDING = -1;
/**
 * The result of handling a packet: Success, PENDING, or the reason code of the fault that ends its
 * connection.
 */
export type Outcome = ReasonCode | typeof PENDING;

/** From here on, codes are failures. */
export const FAILURE_MIN = 0x80;
/** A code that is a failure. */
export type FailureCode = Exclude<
  ReasonCode,
  0x00 | 0x01 | 0x02 | 0x04 | 0x10 | 0x11 | 0x18 | 0x19
>;

/** A packet that carries reason codes. */
export type ReasonPacket =
  | "CONNACK"
  | "PUBACK"
  | "PUBREC"
  | "PUBREL"
  | "PUBCOMP"
  | "SUBACK"
  | "UNSUBACK"
  | "DISCONNECT"
  | "AUTH";

const OF_CONNECTION = "CONNACK DISCONNECT";
const AT_ANY_TIME = "CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT";

/** Which packets may carry each code, MQTT 5.0 §2.4. */
export const reasonTable: ReadonlyMap<number, readonly ReasonPacket[]> = new Map(
  Object.entries({
    0: "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH",
    1: "SUBACK",
    2: "SUBACK",
    4: "DISCONNECT",
    16: "PUBACK PUBREC",
    17: "UNSUBACK",
    24: "AUTH",
    25: "AUTH",
    128: AT_ANY_TIME,
    129: OF_CONNECTION,
    130: OF_CONNECTION,
    131: AT_ANY_TIME,
    132: "CONNACK",
    133: "CONNACK",
    134: "CONNACK",
    135: AT_ANY_TIME,
    136: "CONNACK",
    137: OF_CONNECTION,
    138: "CONNACK",
    139: "DISCONNECT",
    140: OF_CONNECTION,
    141: "DISCONNECT",
    142: "DISCONNECT",
    143: "SUBACK UNSUBACK DISCONNECT",
    144: "CONNACK PUBACK PUBREC DISCONNECT",
    145: "PUBACK PUBREC SUBACK UNSUBACK",
    146: "PUBREL PUBCOMP",
    147: "DISCONNECT",
    148: "DISCONNECT",
    149: OF_CONNECTION,
    150: "DISCONNECT",
    151: "CONNACK PUBACK PUBREC SUBACK DISCONNECT",
    152: "DISCONNECT",
    153: "CONNACK PUBACK PUBREC DISCONNECT",
    154: OF_CONNECTION,
    155: OF_CONNECTION,
    156: OF_CONNECTION,
    157: OF_CONNECTION,
    158: "SUBACK DISCONNECT",
    159: OF_CONNECTION,
    160: "DISCONNECT",
    161: "SUBACK DISCONNECT",
    162: "SUBACK DISCONNECT",
  }).map(([code, packets]) => [Number(code), packets.split(" ") as ReasonPacket[]]),
);

/** Whether a packet may carry a code. */
export function mayCarry(packet: ReasonPacket, code: number): boolean {
  return reasonTable.get(code)?.includes(packet) ?? false;
}

/**
 * The code for `reason` in `packet`: the code itself if the packet may carry it, otherwise
 * Unspecified.
 */
export function reasonFor(packet: ReasonPacket, reason: ReasonCode): ReasonCode {
  return mayCarry(packet, reason) ? reason : Reason.Unspecified;
}

/**
 * The CONNACK return code of MQTT 3.1 and 3.1.1 for `reason`, or -1 if these versions have none and
 * the connection is closed without a CONNACK (3.1.1 §3.2.2.3).
 */
export function connectReturnCode(reason: ReasonCode): number {
  switch (reason) {
    case Reason.Success:
      return 0;
    case Reason.UnsupportedProtocolVersion:
      return 1;
    case Reason.ClientIdentifierNotValid:
      return 2;
    case Reason.ServerUnavailable:
    case Reason.ServerBusy:
    case Reason.ServerShuttingDown:
    case Reason.QuotaExceeded:
    case Reason.UseAnotherServer:
    case Reason.ServerMoved:
    case Reason.ConnectionRateExceeded:
      return 3;
    case Reason.BadUserNameOrPassword:
      return 4;
    case Reason.NotAuthorized:
    case Reason.Banned:
      return 5;
    default:
      return -1;
  }
}

/** The name of a reason code in words, for logs, events and Reason Strings: `malformed packet`. */
export function reasonName(reason: number): string {
  return names.get(reason) ?? `reason 0x${reason.toString(16)}`;
}

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(Reason).map(([name, code]) => [
    code,
    name
      .replace(/QoS/g, "Qos")
      .replace(/[A-Z]/g, (c, at: number) => (at > 0 ? " " : "") + c.toLowerCase()),
  ]),
);
