/** Encodes the output of one connection: its replies, then the messages of its session. */
import type { OutBuffer } from "../boundary.ts";
import { encodeAck } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { ENCODED_REPLY, reasonString } from "../lifecycle/reply-queue.ts";
import { Counter } from "../observe/counters.ts";
import { FAILURE_MIN, Reason } from "../reason.ts";
import { encodeReady, encodeResends, Resent } from "./encode-publishes.ts";
import { offerRetained, refillScanBudget } from "./retained-pacing.ts";

/** Appends to `out` as much output as fits. False: there is more. */
export function encodeOutput(
  context: BrokerContext,
  connection: Connection,
  out: OutBuffer,
): boolean {
  if (!encodeReplies(context, connection, out)) return false;
  const { session } = connection;
  if (session === null) return true;
  const { outbox } = session;
  // No packet before the CONNACK [MQTT311-3.2.0-1], which may wait for a commit.
  if (context.journal.committed < connection.connackSeq) return true;
  const resent = encodeResends(context, connection, outbox, out);
  // Later messages wait for those that are being loaded.
  if (resent !== Resent.All) return resent === Resent.Waits;
  refillScanBudget();
  for (;;) {
    if (!encodeReady(context, connection, outbox, out)) return false;
    if (outbox.readyCount > 0) return true;
    if (session.retainedScans === null || !offerRetained(context, connection, session)) return true;
  }
}

function encodeReplies(context: BrokerContext, connection: Connection, out: OutBuffer): boolean {
  const { replies } = connection;
  if (replies === null) return true;
  const to = out.bytes;
  let at = out.length;
  let sent = 0;
  while (replies.count > 0 && at + 4 <= to.length && out.tail === null) {
    const word = replies.peek();
    const firstByte = word >>> 24;
    const reason = (word >> 16) & 0xff;
    if (word === ENCODED_REPLY) {
      const packet = connection.encodedReplies[0]!;
      if (at + packet.length <= to.length) {
        to.set(packet, at);
        at += packet.length;
      } else if (at === 0) {
        out.tail = packet;
      } else {
        break;
      }
      connection.encodedReplies.shift();
      connection.encodedReplyBytes -= packet.length;
    } else if (firstByte === FirstByte.Pingresp) {
      to[at++] = firstByte;
      to[at++] = 0;
    } else if (reason !== Reason.Success && connection.level === 5) {
      const packet = encodeAck(firstByte, word & 0xffff, reason, reasonString(connection, reason));
      if (at + packet.length > to.length) break;
      to.set(packet, at);
      at += packet.length;
    } else {
      to[at] = firstByte;
      to[at + 1] = 2;
      to[at + 2] = (word >> 8) & 0xff;
      to[at + 3] = word & 0xff;
      at += 4;
    }
    // A receipt from an earlier connection was not counted on this one.
    if (connection.unacknowledgedCount > 0 && completesReceived(connection, firstByte, reason)) {
      connection.unacknowledgedCount--;
    }
    replies.shift();
    sent++;
  }
  out.length = at;
  context.counters[Counter.packetsSent]! += sent;
  if (replies.count > 0) return false;
  connection.replies = null;
  if (
    replies.capacity <= REPLY_RING_CAPACITY_MAX &&
    context.spareReplyRings.length < REPLY_RINGS_MAX
  ) {
    context.spareReplyRings.push(replies);
  }
  return out.tail === null;
}

/** Whether a received message counts against `receiveMax` until this reply has been sent. */
function completesReceived({ level }: Connection, firstByte: number, reason: number): boolean {
  if (firstByte === FirstByte.Puback) return true;
  if (firstByte === FirstByte.Pubrec) return level < 5 || reason >= FAILURE_MIN;
  // A PUBCOMP for an unknown identifier completes no counted message.
  return firstByte === FirstByte.Pubcomp && level === 5 && reason === Reason.Success;
}

/** An empty reply ring is kept for another connection, unless it grew beyond this. */
const REPLY_RING_CAPACITY_MAX = 256;
const REPLY_RINGS_MAX = 256;
