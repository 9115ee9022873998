/** DISCONNECT from a client, MQTT 5.0 and 3.1.1 §3.14. */
import { PacketType } from "../codec/packet.ts";
import { Property, PropertyScan } from "../codec/properties.ts";
import { Reader } from "../codec/reader.ts";
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { endConnection } from "../lifecycle/transitions.ts";
import type { Outcome, ReasonCode } from "../reason.ts";
import { mayCarry, Reason } from "../reason.ts";

export function handleDisconnect(
  context: BrokerContext,
  connection: Connection,
  start: number,
  end: number,
): Outcome {
  let reason: number = Reason.Success;
  if (start < end) {
    reason = context.frames.bytes[start]!;
    const fault =
      connection.level === 5
        ? readDisconnect(context, connection, start, end)
        : Reason.MalformedPacket;
    if (fault !== Reason.Success) return fault;
  }
  // [MQTT311-3.1.2-10] [MQTT311-3.14.4-3] [MQTT-3.14.4-3]
  const cause = reason === Reason.Success ? "disconnected" : "disconnectedWithWill";
  endConnection(context, connection, cause, Reason.Success);
  return Reason.Success;
}

/** Applies the session expiry of the packet, if it has one. Returns Success or the fault. */
function readDisconnect(
  { limits, frames }: BrokerContext,
  connection: Connection,
  start: number,
  end: number,
): ReasonCode {
  const reader = new Reader(frames.bytes, start, end);
  if (!mayCarry("DISCONNECT", reader.u8())) return Reason.MalformedPacket; // [MQTT-3.14.2-1]
  if (reader.at === end) return Reason.Success;
  const fault = scan.read(reader, PacketType.Disconnect);
  if (fault !== Reason.Success) return fault;
  if (!reader.isDone) return Reason.MalformedPacket;
  if (scan.has(Property.ServerReference)) return Reason.ProtocolError;
  const seconds = scan.number(Property.SessionExpiryInterval, -1);
  const { session } = connection;
  if (seconds < 0 || session === null) return Reason.Success;
  // A session that was to end with its connection cannot be prolonged.
  if (seconds > 0 && session.expiryMillis === 0) return Reason.ProtocolError;
  session.expiryMillis = Math.min(seconds * 1000, limits.sessionMillisMax);
  return Reason.Success;
}

const scan = new PropertyScan();
