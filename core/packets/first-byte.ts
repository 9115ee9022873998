/** Checks the first byte of a packet: its type and flags, MQTT 5.0 §2.1 and 3.1.1 §2.2. */
import { PacketType } from "../codec/packet.ts";
import type { Connection } from "../connection/connection.ts";
import { Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { validateFlags } from "./publish.ts";

/**
 * The fault of a packet that begins with `first`, whatever follows; Success: none so far. All
 * earlier packets of the connection must have been handled.
 */
export function validateFirstByte(
  context: BrokerContext,
  connection: Connection,
  firstByte: number,
): ReasonCode {
  // Called for each acknowledgement: one lookup covers nearly every packet.
  if (connection.stage === Stage.Connected && IS_USUAL[firstByte] === 1) return Reason.Success;
  const type = firstByte >> 4;
  const isOpened = connection.stage === Stage.Opened;
  // Before CONNACK, a challenged client may send only AUTH or DISCONNECT.
  const isChallenged = isOpened && connection.exchange?.isChallenged === true;
  if ((type === PacketType.Connect) !== (isOpened && !isChallenged)) {
    return Reason.ProtocolError; // [MQTT311-3.1.0-1] [MQTT311-3.1.0-2] [MQTT-3.1.0-1] [MQTT-3.1.0-2]
  }
  if (type === PacketType.Publish) {
    return isChallenged ? Reason.ProtocolError : validateFlags(context, connection, firstByte);
  }
  if (!hasValidFlags(type, firstByte & 0xf, connection)) {
    return Reason.MalformedPacket; // [MQTT311-2.2.2-2] [MQTT-2.1.3-1]
  }
  switch (type) {
    case PacketType.Connect:
    case PacketType.Disconnect:
      return Reason.Success;
    case PacketType.Puback:
    case PacketType.Pubrec:
    case PacketType.Pubrel:
    case PacketType.Pubcomp:
    case PacketType.Subscribe:
    case PacketType.Unsubscribe:
    case PacketType.Pingreq:
      return isChallenged ? Reason.ProtocolError : Reason.Success;
    case PacketType.Auth:
      return connection.level < 5 ? Reason.ProtocolError : Reason.Success;
    default:
      return Reason.ProtocolError;
  }
}

/** [MQTT311-3.6.1-1] [MQTT311-3.8.1-1] [MQTT311-3.10.1-1] [MQTT311-3.14.1-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] */
function hasValidFlags(type: number, flags: number, connection: Connection): boolean {
  switch (type) {
    case PacketType.Pubrel:
    case PacketType.Subscribe:
    case PacketType.Unsubscribe:
      // In 3.1 these packets have QoS 1 and may be resent with DUP.
      return flags === 0b0010 || (connection.level === 3 && flags === 0b1010);
    default:
      return flags === 0;
  }
}

/** First bytes that a connected client of any version may send, except PUBLISH. */
const IS_USUAL = new Uint8Array(256);
for (const first of [0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0]) IS_USUAL[first] = 1;
