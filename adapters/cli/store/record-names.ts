/** The names that people know records by. */
import type { DecodedRecord } from "../../../core/mod.ts";
import { QueueRecordKind, Table } from "../../../core/mod.ts";

/** The records by what they are for people. */
export type CountName =
  | "sessions"
  | "subscriptions"
  | "messages"
  | "queued"
  | "in flight"
  | "receipts"
  | "retained"
  | "wills";
export const countNames: readonly CountName[] = [
  ...(["sessions", "subscriptions", "messages", "queued", "in flight", "receipts"] as const),
  ...(["retained", "wills"] as const),
];

/** What a record counts as. */
export function countNameOf(record: DecodedRecord): CountName {
  if (record.table !== Table.Queue) return tableNames[record.table];
  const { kind } = record.fields;
  if (kind === QueueRecordKind.Queued) return "queued";
  return kind === QueueRecordKind.Receipt ? "receipts" : "in flight";
}

/** Names a record by as much of its key as can be read. `clientIdOf`: of the session with this number, if there is one. */
export function describeRecord(
  table: Table,
  key: Uint8Array,
  clientIdOf: (durableId: number) => string | undefined,
): string {
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const session = (): string => {
    const number = view.getUint32(0);
    const clientId = clientIdOf(number);
    return clientId === undefined ? `session ${number}` : `client ${JSON.stringify(clientId)}`;
  };
  if (table === Table.Session) return `session of client ${shown(key)}`;
  if (table === Table.Retained) return `retained message of topic ${shown(key)}`;
  if (table === Table.Will) return `will of client ${shown(key)}`;
  if (table === Table.Message && key.length === 8) return `message ${view.getFloat64(0)}`;
  if (table === Table.Subscription && key.length > 4) {
    return `subscription of ${session()} to ${shown(key.subarray(4))}`;
  }
  if (table === Table.Queue && key.length === 9) {
    return `${kindNames[key[4]!] ?? "entry"} ${view.getUint32(5)} of ${session()}`;
  }
  return `record ${table} with the key ${Buffer.from(key.subarray(0, 32)).toString("hex")}`;
}

/** A key that is a text, or as much of it as is one. */
function shown(key: Uint8Array): string {
  const text = new TextDecoder().decode(key.subarray(0, SHOWN_BYTES_MAX));
  return JSON.stringify(key.length > SHOWN_BYTES_MAX ? `${text}…` : text);
}

const tableNames = {
  [Table.Session]: "sessions",
  [Table.Subscription]: "subscriptions",
  [Table.Message]: "messages",
  [Table.Retained]: "retained",
  [Table.Will]: "wills",
} as const;
const kindNames: Readonly<Record<number, string>> = {
  [QueueRecordKind.Queued]: "queued message",
  [QueueRecordKind.Sent]: "sent message",
  [QueueRecordKind.Released]: "released identifier",
  [QueueRecordKind.Receipt]: "receipt",
};
const SHOWN_BYTES_MAX = 200;
