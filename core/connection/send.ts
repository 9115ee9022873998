/** Fills a buffer with what one connection is owed: answers, what is sent again, what is ready. */
import type { OutBuffer } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import { encodeAck } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import type { BrokerContext } from "../context.ts";
import { DELIVERY_RETAIN, Written, writePublish } from "../message/publish-writer.ts";
import type { RetainedScan } from "../message/retained.ts";
import { Counter } from "../observe/counters.ts";
import type { EncodedBatch } from "../output/encoded-batch.ts";
import { BATCH_MESSAGES_MAX } from "../output/encoded-batch.ts";
import { FAILURE_MIN, Reason } from "../reason.ts";
import { deliveryOrigin, OPTIONS_QOS } from "../routing/route.ts";
import type { Outbox } from "../session/outbox.ts";
import type { Session } from "../session/session.ts";
import { dropRetainedScan } from "../session/session.ts";
import type { ScanBudget } from "../topic/name-tree.ts";
import { UNFINISHED } from "../topic/name-tree.ts";
import type { Connection } from "./connection.ts";
import { ENCODED_REPLY, reasonString } from "./reply-queue.ts";

/** Appends to `out` as much as fits. False: more is waiting. */
export function encodeOutput(
  context: BrokerContext,
  connection: Connection,
  out: OutBuffer,
): boolean {
  if (!encodeReplies(context, connection, out)) return false;
  const { session } = connection;
  if (session === null) return true;
  // No packet before the CONNACK [MQTT311-3.2.0-1], which may wait for a commit.
  if (context.journal.committed < connection.connackSeq) return true;
  if (!encodeResends(context, connection, session, out)) return false;
  scanBudget.stepsLeft = SCAN_STEPS_MAX;
  for (;;) {
    if (!encodeReady(context, connection, session, out)) return false;
    if (session.outbox.readyCount > 0) return true;
    if (session.retainedScans === null || !offerRetained(context, connection, session)) return true;
  }
}

function encodeReplies(context: BrokerContext, connection: Connection, out: OutBuffer): boolean {
  const { replies: answers } = connection;
  if (answers === null) return true;
  const to = out.bytes;
  let at = out.length;
  let sent = 0;
  while (answers.count > 0 && at + 4 <= to.length && out.tail === null) {
    const word = answers.peek();
    const first = word >>> 24;
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
      connection.packetBytes -= packet.length;
    } else if (first === FirstByte.Pingresp) {
      to[at++] = first;
      to[at++] = 0;
    } else if (reason !== Reason.Success && connection.level === 5) {
      const packet = encodeAck(first, word & 0xffff, reason, reasonString(connection, reason));
      if (at + packet.length > to.length) break;
      to.set(packet, at);
      at += packet.length;
    } else {
      to[at] = first;
      to[at + 1] = 2;
      to[at + 2] = (word >> 8) & 0xff;
      to[at + 3] = word & 0xff;
      at += 4;
    }
    // What came on an earlier connection was not counted on this one.
    if (connection.receivedCount > 0 && isCountedUntil(connection, first, reason)) {
      connection.receivedCount--;
    }
    answers.shift();
    sent++;
  }
  out.length = at;
  context.counters[Counter.packetsSent]! += sent;
  if (answers.count > 0) return false;
  connection.replies = null;
  if (
    answers.capacity <= REPLY_RING_CAPACITY_MAX &&
    context.spareReplyRings.length < REPLY_RINGS_MAX
  ) {
    context.spareReplyRings.push(answers);
  }
  return out.tail === null;
}

/** Whether a message that was received counts against `receiveMax` until this answer is sent. */
function isCountedUntil({ level }: Connection, first: number, reason: number): boolean {
  if (first === FirstByte.Puback) return true;
  if (first === FirstByte.Pubrec) return level < 5 || reason >= FAILURE_MIN;
  // One for an identifier that is not known ends nothing.
  return first === FirstByte.Pubcomp && level === 5 && reason === Reason.Success;
}

function encodeResends(
  context: BrokerContext,
  connection: Connection,
  session: Session,
  out: OutBuffer,
): boolean {
  const { messages } = context;
  const { outbox } = session;
  const { window } = outbox;
  const max = connection.packetBytesMax;
  for (;;) {
    const position = outbox.resendPosition;
    if (position < 0) return true;
    if (out.tail !== null) return false;
    const message = window.sentMessage(position);
    const delivery = window.resentDelivery(position);
    const packetId = window.sentPacketId(position);
    const own = window.sentOrigin(position)?.properties ?? null;
    const written = writePublish(messages, message, delivery, packetId, connection, own, max, out);
    if (written === Written.NoRoom) return false;
    if (written === Written.TooLong) {
      // It fitted when it was sent first, and the client takes less now [MQTT-3.1.2-25].
      context.counters[Counter.droppedTooLarge]!++;
      outbox.discardResend(position);
      continue;
    }
    window.resent();
    countPublish(context, messages.payloadBytes(message), 1);
  }
}

/** True: what is left waits for a commit. */
function encodeReady(
  context: BrokerContext,
  connection: Connection,
  session: Session,
  out: OutBuffer,
): boolean {
  const { messages } = context;
  const { outbox } = session;
  const max = connection.packetBytesMax;
  const layout = connection.hasProperties ? LAYOUT_PROPERTIES : 0;
  let run = batchFor(context, connection, outbox, out);
  while (run !== null && copyBatch(context, outbox, run, layout, out)) {
    run = batchFor(context, connection, outbox, out);
  }
  const start = out.length;
  let isRun = run !== null;
  if (run !== null) run.begin();
  let sent = 0;
  let payloadBytes = 0;
  let isFull = false;
  let mayWait = outbox.mayReadyWait;
  let hasVias = outbox.hasReadyOrigins;
  // Messages at QoS 0 leave the queue in one step, after the last of them in a row.
  let taken = 0;
  while (outbox.readyCount > taken) {
    const message = outbox.readyMessage(taken);
    if (mayWait && !outbox.isReadyDurable(context.journal.committed)) {
      context.storeBlocked.add(connection);
      break;
    }
    const isExpiring = messages.expiresAt(message) !== NEVER;
    let written: Written = Written.Whole;
    let packetId = 0;
    if (isExpiring) isRun = false;
    const isExpired = isExpiring && messages.isExpired(message);
    if (!isExpired) {
      if (out.tail !== null) {
        isFull = true;
        break;
      }
      const delivery = outbox.readyDelivery(taken);
      packetId = outbox.readyPacketId(taken);
      const own = hasVias ? (outbox.readyOrigin(taken)?.properties ?? null) : null;
      written = writePublish(messages, message, delivery, packetId, connection, own, max, out);
      if (written === Written.NoRoom) {
        isFull = true;
        break;
      }
      isRun &&= packetId === 0 && out.tail === null && sent < BATCH_MESSAGES_MAX;
      if (isRun && written === Written.Whole)
        run!.push(messages.serial(message), delivery | layout, out.length - start);
    }
    if (isExpired || written === Written.TooLong) {
      isRun = false;
      // [MQTT-3.3.2-5] [MQTT-3.1.2-25]
      context.counters[isExpired ? Counter.droppedExpired : Counter.droppedTooLarge]!++;
      outbox.takeReadyQos0(taken);
      taken = 0;
      outbox.discardReady();
      // In its place there may be one of another kind.
      mayWait = outbox.mayReadyWait;
      hasVias = outbox.hasReadyOrigins;
      continue;
    }
    payloadBytes += messages.payloadBytes(message);
    sent++;
    if (packetId === 0 && !mayWait) {
      taken++;
      continue;
    }
    outbox.takeReadyQos0(taken);
    taken = 0;
    outbox.takeReady();
  }
  outbox.takeReadyQos0(taken);
  if (run !== null) run.finish(out.bytes, start);
  countPublish(context, payloadBytes, sent);
  return !isFull;
}

/** The run that what is ready may be like; null where it is not worth one. */
function batchFor(
  context: BrokerContext,
  connection: Connection,
  outbox: Outbox,
  out: OutBuffer,
): EncodedBatch | null {
  if (outbox.readyCount < BATCH_MESSAGES_MIN || out.tail !== null) return null;
  if (outbox.mayReadyWait || outbox.hasReadyOrigins) return null;
  if (connection.outboundAliases !== null) return null;
  if (connection.packetBytesMax !== Number.POSITIVE_INFINITY) return null;
  return context.encodedBatches.at(outbox.readyMessage());
}

/** Copies the packets of a run as far as they are what is ready, and fit; false where none is. */
function copyBatch(
  context: BrokerContext,
  outbox: Outbox,
  run: EncodedBatch,
  layout: number,
  out: OutBuffer,
): boolean {
  const { messages } = context;
  const room = out.bytes.length - out.length;
  const countMax = Math.min(run.count, outbox.readyCount);
  let count = 0;
  let payloadBytes = 0;
  for (; count < countMax && run.ends[count]! <= room; count++) {
    const message = outbox.readyMessage(count);
    if (!run.matches(count, messages.serial(message), outbox.readyDelivery(count) | layout)) break;
    payloadBytes += messages.payloadBytes(message);
  }
  if (count === 0) return false;
  const length = run.ends[count - 1]!;
  out.bytes.set(run.bytes.subarray(0, length), out.length);
  out.length += length;
  outbox.takeReadyQos0(count);
  countPublish(context, payloadBytes, count);
  return true;
}

function countPublish(context: BrokerContext, payloadBytes: number, count: number): void {
  context.counters[Counter.packetsSent]! += count;
  context.counters[Counter.publishesSent]! += count;
  context.counters[Counter.publishBytesSent]! += payloadBytes;
}

/**
 * Makes the next retained messages of the oldest replay ready, as many as leave in one go and as the
 * window takes; false where none is.
 */
function offerRetained(context: BrokerContext, connection: Connection, session: Session): boolean {
  const { outbox } = session;
  let count = 0;
  let replay = oldestScan(session);
  while (replay !== null && count < SCANNED_COUNT_MAX) {
    const isWindowed = (replay.options & OPTIONS_QOS) > 0;
    if (isWindowed && (!outbox.hasWindow || outbox.queuedCount > 0)) break;
    const message = context.retained.next(replay, scanBudget);
    if (message === UNFINISHED) {
      // Filters that match little among many names: the others first.
      context.retainedScans.add(connection);
      break;
    }
    if (message === 0) {
      dropRetainedScan(session, replay.filter);
      replay = oldestScan(session);
      continue;
    }
    // [MQTT-3.3.1-8]
    context.router.offer(
      session,
      message,
      replay.options,
      deliveryOrigin([replay.options]),
      DELIVERY_RETAIN,
    );
    count++;
  }
  return count > 0;
}

function oldestScan({ retainedScans: replays }: Session): RetainedScan | null {
  return replays?.values().next().value ?? null;
}

/** Of the connection at hand. */
const scanBudget: ScanBudget = { stepsLeft: 0 };
/** Levels of retained names that are looked at for one connection at a time: about a millisecond. */
const SCAN_STEPS_MAX = 16_384;
/** Retained messages made ready at once: few, for each waits in memory, many enough to fill a buffer. */
const SCANNED_COUNT_MAX = 64;
/** Bit of a run's delivery: the packets have properties. */
const LAYOUT_PROPERTIES = 0x10;
/** Below so many messages a run is not worth looking for. */
const BATCH_MESSAGES_MIN = 4;
/** A queue of answers that has emptied is kept for the next who needs one, unless it grew beyond this. */
const REPLY_RING_CAPACITY_MAX = 256;
const REPLY_RINGS_MAX = 256;
