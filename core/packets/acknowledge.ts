/** PUBACK, PUBREC, PUBREL and PUBCOMP from a client, MQTT 5.0 and 3.1.1 §4.3. */
import { FirstByte, PacketType } from "../codec/packet.ts";
import { PropertyScan } from "../codec/properties.ts";
import { Reader } from "../codec/reader.ts";
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import {
  packReply,
  replyAfterCommit,
  replyInOrder,
  replyOrAwaitCommit,
} from "../lifecycle/reply-queue.ts";
import { Counter } from "../observe/counters.ts";
import type { Outcome, ReasonCode, ReasonPacket } from "../reason.ts";
import { FAILURE_MIN, mayCarry, Reason } from "../reason.ts";
import type { Session } from "../session/session.ts";
import { Acknowledged } from "../session/window.ts";

/** Handles one of the four acknowledgements, whose packet identifier is at `at`. */
export function handleAcknowledgement(
  context: BrokerContext,
  connection: Connection,
  type: number,
  at: number,
  end: number,
): Outcome {
  const { bytes } = context.frames;
  const remaining = end - at;
  const packetId = remaining < 2 ? 0 : (bytes[at]! << 8) | bytes[at + 1]!;
  let reason: number = Reason.Success;
  if (remaining !== 2) {
    const isFive = connection.level === 5;
    const fault = isFive ? validateAck(type, bytes, at, remaining) : Reason.MalformedPacket;
    if (fault !== Reason.Success) return fault;
    reason = bytes[at + 2]!;
  }
  if (packetId === 0) return Reason.ProtocolError;
  const session = connection.session!;
  if (type === PacketType.Pubrel) {
    const isKnown = session.hasReceipt(packetId);
    const needsCommit = session.mayHaveReceiptRecord(packetId);
    session.removeReceipt(packetId);
    // An unknown identifier gets a PUBCOMP too, so that the client can release it.
    // [MQTT311-4.3.3-2] [MQTT-4.3.3-11]
    const code = isKnown ? Reason.Success : Reason.PacketIdentifierNotFound;
    // A receipt that came back after a restart would make the broker drop the next message under
    // its identifier. An earlier PUBREL may have removed it, whose commit is still awaited.
    const reply = needsCommit ? replyAfterCommit : replyInOrder;
    reply(context, connection, packReply(FirstByte.Pubcomp, packetId, code));
    return Reason.Success;
  }
  const result = applyToWindow(context, connection, type, packetId, reason);
  if (result === Acknowledged.WrongKind) return Reason.ProtocolError;
  if (result === Acknowledged.Unknown) context.counters[Counter.acknowledgementsUnknown]!++;
  if (type !== PacketType.Pubrec || reason >= FAILURE_MIN) refill(context, connection, session);
  return Reason.Success;
}

function applyToWindow(
  context: BrokerContext,
  connection: Connection,
  type: number,
  packetId: number,
  reason: number,
): Acknowledged {
  const window = connection.session!.outbox.openWindow();
  if (type === PacketType.Puback) return window.handlePuback(packetId);
  if (type === PacketType.Pubcomp) return window.handlePubcomp(packetId);
  // The client refused the message: it is done, and its identifier is free [MQTT-4.3.3-4].
  if (reason >= FAILURE_MIN) return window.handlePubrecFailure(packetId);
  const result = window.handlePubrec(packetId);
  if (result !== Acknowledged.WrongKind) {
    // An unknown identifier gets a PUBREL too: only that ends the flow for the client.
    // [MQTT311-4.3.3-1]
    const isKnown = result !== Acknowledged.Unknown;
    const code = isKnown ? Reason.Success : Reason.PacketIdentifierNotFound;
    // After the commit: a broker that forgets the PUBREC after sending PUBREL would resend the
    // message after a restart, and the client would take it for a new one. The client is read on:
    // its window bounds these replies, and it publishes nothing that needs the store.
    const needsCommit =
      connection.session!.record !== null && result !== Acknowledged.DoneWithoutCommit;
    const reply = needsCommit ? replyOrAwaitCommit : replyInOrder;
    reply(context, connection, packReply(FirstByte.Pubrel, packetId, code));
  }
  return result;
}

/** The fault of a 5.0 packet whose length is not that of a packet identifier. */
function validateAck(type: number, bytes: Uint8Array, at: number, remaining: number): ReasonCode {
  if (remaining < 3) return Reason.MalformedPacket;
  if (!mayCarry(NAMES[type]!, bytes[at + 2]!)) return Reason.MalformedPacket;
  if (remaining === 3) return Reason.Success;
  const reader = new Reader(bytes, at + 3, at + remaining);
  const fault = scan.read(reader, type);
  return fault === Reason.Success && !reader.isDone ? Reason.MalformedPacket : fault;
}

/**
 * The window has room again: resends or makes ready the messages that waited, and continues
 * retained scans.
 */
function refill(context: BrokerContext, connection: Connection, session: Session): void {
  const hasReady = session.outbox.refill();
  const isResending = session.outbox.resendPosition >= 0;
  if (hasReady || isResending || session.retainedScans !== null)
    context.sendQueue.schedule(connection.slot);
}

const scan = new PropertyScan();
const NAMES: Readonly<Record<number, ReasonPacket>> = {
  [PacketType.Puback]: "PUBACK",
  [PacketType.Pubrec]: "PUBREC",
  [PacketType.Pubrel]: "PUBREL",
  [PacketType.Pubcomp]: "PUBCOMP",
};
