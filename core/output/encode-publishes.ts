/**
 * Encodes the PUBLISH packets of a session: first the messages to resend, then the ready messages.
 */
import type { OutBuffer } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import type { EncodedBatch } from "../message/encoded-batch.ts";
import { BATCH_MESSAGES_MAX } from "../message/encoded-batch.ts";
import { isPaged } from "../message/paged-messages.ts";
import { DELIVERY_DUP, Delivery, Written, writePublish } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { Outbox } from "../session/outbox.ts";

/** The result of resending. */
export const Resent = { All: 0, NoRoom: 1, /** The next one is being loaded. */ Waits: 2 } as const;
export type Resent = (typeof Resent)[keyof typeof Resent];

/**
 * Resends, with DUP, the messages sent on an earlier connection [MQTT311-4.4.0-1] [MQTT-4.4.0-1].
 */
export function encodeResends(
  context: BrokerContext,
  connection: Connection,
  outbox: Outbox,
  out: OutBuffer,
): Resent {
  const { messages } = context;
  const { window } = outbox;
  if (window === null) return Resent.All;
  for (;;) {
    const position = outbox.resendPosition;
    if (position < 0) return Resent.All;
    if (out.tail !== null) return Resent.NoRoom;
    const message = window.sentMessage(position);
    if (isPaged(message)) {
      if (!context.pager!.paged.isLost(message)) {
        context.pager!.want(outbox);
        return Resent.Waits;
      }
      context.counters[Counter.droppedLost]!++;
      outbox.discardResend(position);
      continue;
    }
    delivery.message = message;
    delivery.flags = window.sentDelivery(position) | DELIVERY_DUP; // [MQTT311-3.3.1-1]
    delivery.packetId = window.sentPacketId(position);
    delivery.subscriptionIds = window.sentOrigin(position)?.properties ?? null;
    const written = writePublish(messages, delivery, connection, out);
    if (written === Written.NoRoom) return Resent.NoRoom;
    if (written === Written.TooLong) {
      // The client's Maximum Packet Size is smaller than when the packet was sent first
      // [MQTT-3.1.2-25].
      context.counters[Counter.droppedTooLarge]!++;
      outbox.discardResend(position);
      continue;
    }
    window.confirmResent();
    countPublishesSent(context, messages.payloadBytes(message), 1);
  }
}

/** Encodes ready messages. False: no room. True: messages that are left wait for a commit. */
export function encodeReady(
  context: BrokerContext,
  connection: Connection,
  outbox: Outbox,
  out: OutBuffer,
): boolean {
  const { messages } = context;
  const layout = connection.hasProperties ? LAYOUT_PROPERTIES : 0;
  let batch = batchFor(context, connection, outbox, out);
  while (batch !== null && copyBatch(context, outbox, batch, layout, out)) {
    batch = batchFor(context, connection, outbox, out);
  }
  const start = out.length;
  let isBatch = batch !== null;
  if (batch !== null) batch.begin();
  let sent = 0;
  let payloadBytes = 0;
  let isFull = false;
  let mayAwaitCommit = outbox.mayReadyAwaitCommit;
  let hasOrigins = outbox.hasReadyOrigins;
  // Consecutive QoS 0 messages are removed from the queue in one step.
  let unconfirmed = 0;
  while (outbox.readyCount > unconfirmed) {
    const message = outbox.readyMessage(unconfirmed);
    if (mayAwaitCommit && !outbox.isReadyDurable(context.journal.committed)) {
      context.storeBlocked.add(connection);
      break;
    }
    const isExpiring = messages.expiresAt(message) !== NEVER;
    let written: Written = Written.Whole;
    let packetId = 0;
    if (isExpiring) isBatch = false;
    const isExpired = isExpiring && messages.isExpired(message);
    if (!isExpired) {
      if (out.tail !== null) {
        isFull = true;
        break;
      }
      const flags = outbox.readyDelivery(unconfirmed);
      packetId = outbox.readyPacketId(unconfirmed);
      delivery.message = message;
      delivery.flags = flags;
      delivery.packetId = packetId;
      // Stored only on change: storing a reference costs more than storing a number.
      const ids = hasOrigins ? (outbox.readyOrigin(unconfirmed)?.properties ?? null) : null;
      if (delivery.subscriptionIds !== ids) delivery.subscriptionIds = ids;
      written = writePublish(messages, delivery, connection, out);
      if (written === Written.NoRoom) {
        isFull = true;
        break;
      }
      isBatch &&= packetId === 0 && out.tail === null && sent < BATCH_MESSAGES_MAX;
      if (isBatch && written === Written.Whole)
        batch!.push(messages.serial(message), flags | layout, out.length - start);
    }
    if (isExpired || written === Written.TooLong) {
      isBatch = false;
      // [MQTT-3.3.2-5] [MQTT-3.1.2-25]
      context.counters[isExpired ? Counter.droppedExpired : Counter.droppedTooLarge]!++;
      outbox.confirmQos0Sent(unconfirmed);
      unconfirmed = 0;
      outbox.discardReady();
      // The next message may need checks that the previous ones did not.
      mayAwaitCommit = outbox.mayReadyAwaitCommit;
      hasOrigins = outbox.hasReadyOrigins;
      continue;
    }
    payloadBytes += messages.payloadBytes(message);
    sent++;
    if (packetId === 0 && !mayAwaitCommit) {
      unconfirmed++;
      continue;
    }
    outbox.confirmQos0Sent(unconfirmed);
    unconfirmed = 0;
    outbox.confirmReadySent();
  }
  outbox.confirmQos0Sent(unconfirmed);
  if (batch !== null) batch.finish(out.bytes, start);
  countPublishesSent(context, payloadBytes, sent);
  return !isFull;
}

/** The batch that the ready messages may share; null if batching does not pay. */
function batchFor(
  context: BrokerContext,
  connection: Connection,
  outbox: Outbox,
  out: OutBuffer,
): EncodedBatch | null {
  if (outbox.readyCount < BATCH_MESSAGES_MIN || out.tail !== null) return null;
  if (outbox.mayReadyAwaitCommit || outbox.hasReadyOrigins) return null;
  if (connection.outboundAliases !== null) return null;
  if (connection.packetBytesMax !== Number.POSITIVE_INFINITY) return null;
  return context.encodedBatches.at(outbox.readyMessage());
}

/**
 * Copies those packets of a batch that match the ready messages and fit; false if there are none.
 */
function copyBatch(
  context: BrokerContext,
  outbox: Outbox,
  batch: EncodedBatch,
  layout: number,
  out: OutBuffer,
): boolean {
  const { messages } = context;
  const room = out.bytes.length - out.length;
  const countMax = Math.min(batch.count, outbox.readyCount);
  let count = 0;
  let payloadBytes = 0;
  for (; count < countMax && batch.ends[count]! <= room; count++) {
    const message = outbox.readyMessage(count);
    if (!batch.matches(count, messages.serial(message), outbox.readyDelivery(count) | layout))
      break;
    payloadBytes += messages.payloadBytes(message);
  }
  if (count === 0) return false;
  const length = batch.ends[count - 1]!;
  out.bytes.set(batch.bytes.subarray(0, length), out.length);
  out.length += length;
  outbox.confirmQos0Sent(count);
  countPublishesSent(context, payloadBytes, count);
  return true;
}

function countPublishesSent(context: BrokerContext, payloadBytes: number, count: number): void {
  context.counters[Counter.packetsSent]! += count;
  context.counters[Counter.publishesSent]! += count;
  context.counters[Counter.publishBytesSent]! += payloadBytes;
}

/** The current packet. Packets are written one at a time, so one record serves all. */
const delivery = new Delivery();
/** A bit beside the delivery flags in a batch: the packets have properties. */
const LAYOUT_PROPERTIES = 0x10;
/** With fewer messages, looking for a batch does not pay. */
const BATCH_MESSAGES_MIN = 4;
