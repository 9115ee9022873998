/** The keys of records, and the parts of their layouts that encoder and decoder share (records.ts has the layouts). */
import { viewOf } from "../base/bytes.ts";

/** The number of a recorded session, in the keys of its records; 0: the session is not recorded. */
export type DurableSessionId = number;

/** The kinds of records in the Queue table. */
export const QueueRecordKind = {
  /** Queued until the window has room or the client connects. */ Queued: 1,
  /** Has a packet identifier: sent or about to be sent, and not acknowledged. */ Sent: 2,
  /** QoS 2: received by the client. PUBREL is sent until PUBCOMP. No message. */ Released: 3,
  /** QoS 2 inbound: the identifier was received and is not yet released. No message. */ Receipt: 4,
} as const;
export type QueueRecordKind = (typeof QueueRecordKind)[keyof typeof QueueRecordKind];

/** Whether the records of this kind refer to a message. */
export function isMessageKind(kind: QueueRecordKind): boolean {
  return kind === QueueRecordKind.Queued || kind === QueueRecordKind.Sent;
}

export function subscriptionKey(durableId: DurableSessionId, filter: Uint8Array): Uint8Array {
  const key = new Uint8Array(4 + filter.length);
  viewOf(key).setUint32(0, durableId);
  key.set(filter, 4);
  return key;
}

export function messageKey(serial: number): Uint8Array {
  keyView.setFloat64(0, serial);
  return keyBytes.slice();
}
const keyView = new DataView(new ArrayBuffer(8));
const keyBytes = new Uint8Array(keyView.buffer);

export function queueKey(
  durableId: DurableSessionId,
  kind: QueueRecordKind,
  n: number,
): Uint8Array {
  const key = new Uint8Array(QUEUE_KEY_BYTES);
  const view = viewOf(key);
  view.setUint32(0, durableId);
  view.setUint8(4, kind);
  view.setUint32(5, n);
  return key;
}

// The largest numbers of a sound store. New sessions, messages and writes get larger ones, for
// which there is as much room again.
export const DURABLE_ID_MAX = 0x8000_0000;
export const SERIAL_MAX: number = 2 ** 52;
export const ORDER_MAX: number = 2 ** 52;
/**
 * Where the numbers of queued entries begin. They grow in both directions from the middle of a u32,
 * so that they sort in order.
 */
export const POSITION_FIRST = 0x8000_0000;
/** A queue behind this number begins at `POSITION_FIRST` again when it is recovered, or was empty. */
export const POSITION_MAX = 0xbfff_ffff;

/** Version of the layouts. */
export const RECORD_FORMAT = 1;
export const MESSAGE_KEY_BYTES = 8;
export const MESSAGE_HEAD_BYTES = 14;
export const PUBLISHED_RETAIN = 4;
export const QUEUE_KEY_BYTES = 9;
export const QUEUED_HEAD_BYTES = 20;
