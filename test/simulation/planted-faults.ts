/**
 * Faults that the simulator must find: a broker with one of them is wrong. They change what passes the boundary of the
 * core (batches, records, packets), so that no production code knows of them.
 */
import type { Table as TableNumber } from "../../core/mod.ts";
import { Table } from "../../core/mod.ts";
import type { StoredRecord } from "./stored-record.ts";
import type { Packet } from "./wire.ts";

export interface PlantedFault {
  /** The broker is told that a batch is durable before the store has it. */
  readonly commitsEarly?: boolean;
  /** Whether the store loses a write. */
  isLost?(table: TableNumber, key: Uint8Array, value: Uint8Array | null): boolean;
  /** The records that a recovery gets. */
  load?(records: readonly StoredRecord[]): readonly StoredRecord[];
  /** Changes a packet that the broker has sent. */
  send?(packet: Packet): void;
}

export const NO_FAULT: PlantedFault = {};

/** The fifth byte of a key in the Queue table. The layouts are those of core/journal/records.ts. */
const QueueKind = { Queued: 1, Sent: 2, Released: 3, Receipt: 4 } as const;

/** Each is made for one run. */
export const plantedFaults: Readonly<Record<string, () => PlantedFault>> = {
  "answers before the commit": () => ({ commitsEarly: true }),
  "loses a queued message": losingQueue(QueueKind.Queued),
  "loses a receipt": losingQueue(QueueKind.Receipt),
  "loses a released identifier": losingQueue(QueueKind.Released),
  "loses the removal of a sent message": () => ({
    isLost: (table, key, value) =>
      value === null &&
      (table === Table.Message || (table === Table.Queue && key[4] === QueueKind.Sent)),
  }),
  "loses the removal of a subscription": () => ({
    isLost: (table, _, value) => table === Table.Subscription && value === null,
  }),
  "loses a subscription": () => ({
    isLost: (table, key, value) =>
      table === Table.Subscription && value !== null && key.length % 2 === 1,
  }),
  "forgets a will": () => ({
    isLost: (table, _, value) => table === Table.Will && value !== null,
  }),
  "publishes a will that was dropped": () => ({
    isLost: (table, _, value) =>
      value === null && (table === Table.Will || table === Table.Message),
  }),
  "recovers queues in another order": () => ({ load: withReversedQueues }),
  "forgets the QoS of subscriptions": () => ({
    load: changing(Table.Subscription, (value) => value.fill(value[4]! & 0xfc, 4)),
  }),
  "forgets when messages expire": () => ({
    load: changing(Table.Message, (value) => value.fill(0, 2, 10)),
  }),
  "forgets when sessions end": () => ({
    load: changing(Table.Session, (value) => value.fill(0, 5, 13)),
  }),
  "retains an older message": retainingOlder,
  "resends without DUP": () => ({
    send: (packet) => {
      packet.isDup = false;
    },
  }),
};

function losingQueue(kind: number): () => PlantedFault {
  return () => ({
    isLost: (table, key, value) => table === Table.Queue && key[4] === kind && value !== null,
  });
}

/** A retained message is not replaced by the next one. */
function retainingOlder(): PlantedFault {
  const names = new Set<string>();
  return {
    isLost: (table, key, value) => {
      if (table === Table.Message) return value === null;
      if (table !== Table.Retained) return false;
      const name = Buffer.from(key).toString("latin1");
      const isReplaced = value !== null && names.has(name);
      if (value === null) names.delete(name);
      else names.add(name);
      return isReplaced;
    },
  };
}

/** The queued messages of each session change places. */
function withReversedQueues(records: readonly StoredRecord[]): readonly StoredRecord[] {
  const queues = new Map<number, StoredRecord[]>();
  for (const record of records) {
    if (record.table !== Table.Queue || record.key[4] !== QueueKind.Queued) continue;
    const session = u32(record.key, 0);
    queues.set(session, [...(queues.get(session) ?? []), record]);
  }
  const values = new Map<StoredRecord, Uint8Array>();
  for (const queue of queues.values()) {
    queue.sort((a, b) => u32(a.key, 5) - u32(b.key, 5));
    for (const [at, record] of queue.entries()) values.set(record, queue.at(-1 - at)!.value);
  }
  return records.map((record) => ({ ...record, value: values.get(record) ?? record.value }));
}

function changing(table: TableNumber, change: (value: Uint8Array) => unknown) {
  return (records: readonly StoredRecord[]): readonly StoredRecord[] =>
    records.map((record) => {
      if (record.table !== table) return record;
      const value = record.value.slice();
      change(value);
      return { ...record, value };
    });
}

/**
 * Without records that refer to nothing, which a recovery counts as damaged: a planted fault must be found by what it
 * does to clients.
 */
export function withoutOrphans(records: readonly StoredRecord[]): readonly StoredRecord[] {
  const sessions = new Set<number>();
  const messages = new Set<number>();
  for (const { table, key, value } of records) {
    if (table === Table.Session) sessions.add(u32(value, 1));
    else if (table === Table.Message) messages.add(f64(key, 0));
  }
  const used = new Set<number>();
  const whole = records.filter((record) => {
    const { table, key } = record;
    const needsSession = table === Table.Queue || table === Table.Subscription;
    if (needsSession && !sessions.has(u32(key, 0))) return false;
    const message = messageOf(record);
    if (message === 0) return true;
    used.add(message);
    return messages.has(message);
  });
  return whole.filter(({ table, key }) => table !== Table.Message || used.has(f64(key, 0)));
}

/** The message that a record refers to; 0: none. */
function messageOf({ table, key, value }: StoredRecord): number {
  if (table === Table.Retained || table === Table.Will) return f64(value, 1);
  const hasMessage = key[4] === QueueKind.Queued || key[4] === QueueKind.Sent;
  return table === Table.Queue && hasMessage ? f64(value, 9) : 0;
}

function u32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at);
}

function f64(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getFloat64(at);
}
