/** Encodes what a session owes its client: PUBLISH packets that are sent again, then those that are ready. */
import type { OutBuffer } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { Connection } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import type { EncodedBatch } from "../message/encoded-batch.ts";
import { BATCH_MESSAGES_MAX } from "../message/encoded-batch.ts";
import { Delivery, Written, writePublish } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { Outbox } from "../session/outbox.ts";
import type { Session } from "../session/session.ts";

/** Sends again what was sent on an earlier connection, with DUP [MQTT311-4.4.0-1] [MQTT-4.4.0-1]. False: no room. */
export function encodeResends(
  context: BrokerContext,
  connection: Connection,
  session: Session,
  out: OutBuffer,
): boolean {
  const { messages } = context;
  const { outbox } = session;
  const { window } = outbox;
  for (;;) {
    const position = outbox.resendPosition;
    if (position < 0) return true;
    if (out.tail !== null) return false;
    const message = window.sentMessage(position);
    delivery.message = message;
    delivery.flags = window.resentDelivery(position);
    delivery.packetId = window.sentPacketId(position);
    delivery.subscriptionIds = window.sentOrigin(position)?.properties ?? null;
    const written = writePublish(messages, delivery, connection, out);
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

/** Encodes messages that are ready. False: no room; true: what is left, if anything, waits for a commit. */
export function encodeReady(
  context: BrokerContext,
  connection: Connection,
  session: Session,
  out: OutBuffer,
): boolean {
  const { messages } = context;
  const { outbox } = session;
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
  let mayWait = outbox.mayReadyWait;
  let hasOrigins = outbox.hasReadyOrigins;
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
    if (isExpiring) isBatch = false;
    const isExpired = isExpiring && messages.isExpired(message);
    if (!isExpired) {
      if (out.tail !== null) {
        isFull = true;
        break;
      }
      const flags = outbox.readyDelivery(taken);
      packetId = outbox.readyPacketId(taken);
      delivery.message = message;
      delivery.flags = flags;
      delivery.packetId = packetId;
      // Only where it changes: a reference costs more to store than a number.
      const ids = hasOrigins ? (outbox.readyOrigin(taken)?.properties ?? null) : null;
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
      outbox.takeReadyQos0(taken);
      taken = 0;
      outbox.discardReady();
      // In its place there may be one of another kind.
      mayWait = outbox.mayReadyWait;
      hasOrigins = outbox.hasReadyOrigins;
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
  if (batch !== null) batch.finish(out.bytes, start);
  countPublish(context, payloadBytes, sent);
  return !isFull;
}

/** The batch that what is ready may be like; null where it is not worth one. */
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

/** Copies the packets of a batch as far as they are what is ready, and fit; false where none is. */
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
  outbox.takeReadyQos0(count);
  countPublish(context, payloadBytes, count);
  return true;
}

function countPublish(context: BrokerContext, payloadBytes: number, count: number): void {
  context.counters[Counter.packetsSent]! += count;
  context.counters[Counter.publishesSent]! += count;
  context.counters[Counter.publishBytesSent]! += payloadBytes;
}

/** The packet at hand. One record serves all: packets are written one at a time. */
const delivery = new Delivery();
/** Bit of a delivery in an encoded batch: the packets have properties. */
const LAYOUT_PROPERTIES = 0x10;
/** Fewer messages are not worth looking for an encoded batch. */
const BATCH_MESSAGES_MIN = 4;
