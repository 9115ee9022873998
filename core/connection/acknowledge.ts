/** PUBACK, PUBREC, PUBREL and PUBCOMP from a client, MQTT 3.1.1 §4.3. */
import type { Millis } from "../boundary.ts";
import { FirstByte, PacketType } from "../codec/packet.ts";
import { Counter } from "../observe/counters.ts";
import { Reason } from "../reason.ts";
import { Acknowledged } from "../session/outbox.ts";
import type { Session } from "../session/session.ts";
import { answerDurably, answerWord } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { fail } from "./end.ts";
import type { Parts } from "./parts.ts";

/** Handles one of the four, whose packet identifier is at `at`. */
export function handleAcknowledgement(
  parts: Parts,
  connection: Connection,
  type: number,
  bytes: Uint8Array,
  at: number,
  remaining: number,
  now: Millis,
): void {
  if (remaining !== 2) {
    fail(parts, connection, Reason.MalformedPacket, now);
    return;
  }
  const packetId = (bytes[at]! << 8) | bytes[at + 1]!;
  if (packetId === 0) {
    fail(parts, connection, Reason.ProtocolError, now);
    return;
  }
  const session = connection.session!;
  if (type === PacketType.Pubrel) {
    session.removeReceipt(packetId);
    // An identifier that is not known is completed too, so that the client can let go of it.
    answerDurably(parts, connection, answerWord(FirstByte.Pubcomp, packetId)); // [MQTT311-4.3.3-2]
    return;
  }
  const { outbox } = session;
  let result: Acknowledged;
  if (type === PacketType.Puback) result = outbox.acknowledge(packetId);
  else if (type === PacketType.Pubcomp) result = outbox.complete(packetId);
  else {
    result = outbox.receive(packetId);
    // Also for one that is not known: only PUBREL ends it on the client's side. [MQTT311-4.3.3-1]
    if (result !== Acknowledged.WrongKind) {
      // Durably: released by a broker that then forgets it, it would be published once more.
      answerDurably(parts, connection, answerWord(FirstByte.Pubrel, packetId));
    }
  }
  if (result === Acknowledged.WrongKind) {
    fail(parts, connection, Reason.ProtocolError, now);
    return;
  }
  if (result === Acknowledged.Unknown) parts.counters[Counter.acknowledgementsUnknown]!++;
  if (type !== PacketType.Pubrec) refill(parts, connection, session);
}

/** The window has room: what waited for it becomes ready, and retained messages go on. */
function refill(parts: Parts, connection: Connection, session: Session): void {
  const hasReady = session.outbox.refill();
  if (hasReady || session.replays !== null) parts.dirty.mark(connection.slot);
}
