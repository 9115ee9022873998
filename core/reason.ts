/**
 * Reason codes: one table for all versions, numbered as MQTT 5.0 §2.4 numbers them.
 *
 * The core speaks reason codes throughout; what an older client is told is looked up here.
 */
export const Reason = {
  Success: 0x00,
  GrantedQoS1: 0x01,
  GrantedQoS2: 0x02,
  DisconnectWithWill: 0x04,
  NoMatchingSubscribers: 0x10,
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
} as const;
export type ReasonCode = (typeof Reason)[keyof typeof Reason];

/**
 * The CONNACK return code of MQTT 3.1 and 3.1.1 that says what `reason` says, or -1 where those
 * versions have none and the connection is closed without a CONNACK (3.1.1 §3.2.2.3).
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

/** The name of a reason code in words, for logs and events: `malformed packet`. */
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
