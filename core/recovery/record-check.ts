/**
 * Which records of a store are sound: what `Recovery` takes, and what tools for stores tell people.
 *
 * A record is sound if it can be read (`decodeRecord`), and if what it belongs to is there (`faultOf`).
 */
import { Table } from "../boundary.ts";
import { ConfigError } from "../config.ts";
import type {
  MessageFields,
  QueueFields,
  RecordedWillFields,
  RetainedFields,
  SessionFields,
  SubscriptionFields,
} from "../journal/decode-records.ts";
import {
  decodeMessage,
  decodeQueue,
  decodeRetained,
  decodeSession,
  decodeSubscription,
  decodeWill,
} from "../journal/decode-records.ts";
import type { QueueRecordKind } from "../journal/record-keys.ts";
import { isMessageKind, RECORD_FORMAT } from "../journal/record-keys.ts";

/** A record that can be read, by its table. Positions in `fields` are those in its value. */
export type DecodedRecord =
  | { readonly table: typeof Table.Session; readonly fields: SessionFields }
  | { readonly table: typeof Table.Subscription; readonly fields: SubscriptionFields }
  | { readonly table: typeof Table.Message; readonly fields: MessageFields }
  | { readonly table: typeof Table.Queue; readonly fields: QueueFields }
  | { readonly table: typeof Table.Retained; readonly fields: RetainedFields }
  | { readonly table: typeof Table.Will; readonly fields: RecordedWillFields };

/** Why a record that can be read is not sound. */
export type RecordFault = "numberTaken" | "sessionMissing" | "messageMissing";

/**
 * Decodes a record by itself; null: it is damaged. Throws ConfigError for a record of a newer program:
 * the store as a whole is not for this one.
 */
export function decodeRecord(
  table: Table,
  key: Uint8Array,
  value: Uint8Array,
): DecodedRecord | null {
  const format = value[0] ?? 0;
  if (format > RECORD_FORMAT) {
    throw new ConfigError("store", `format ${format}`, `format ${RECORD_FORMAT} or older`);
  }
  if (format !== RECORD_FORMAT || !Object.hasOwn(decoders, table)) return null;
  const fields = decoders[table](key, value);
  return fields === null ? null : ({ table, fields } as DecodedRecord);
}

const decoders = {
  [Table.Session]: decodeSession,
  [Table.Subscription]: decodeSubscription,
  [Table.Message]: decodeMessage,
  [Table.Queue]: decodeQueue,
  [Table.Retained]: decodeRetained,
  [Table.Will]: decodeWill,
} as const;

/**
 * What keeps a record from being sound in its store; null: nothing. That no record refers to a message
 * is no fault: the broker drops the message.
 *
 * `owner`: the client identifier of the session whose number the record has, the first one of several;
 * undefined: there is none. `hasMessage`: whether the message that the record refers to is there.
 */
export function faultOf(
  { table, fields }: DecodedRecord,
  owner: string | undefined,
  hasMessage: boolean,
): RecordFault | null {
  switch (table) {
    case Table.Session:
      return owner === undefined || owner === fields.clientId ? null : "numberTaken";
    case Table.Subscription:
      return owner === undefined ? "sessionMissing" : null;
    case Table.Message:
      return null;
    case Table.Queue:
      return queueFaultOf(fields.kind, owner, hasMessage);
    case Table.Retained:
    case Table.Will:
      return hasMessage ? null : "messageMissing";
  }
}

/** Like `faultOf`, for a record of a queue of which only the kind is known. */
export function queueFaultOf(
  kind: QueueRecordKind,
  owner: string | undefined,
  hasMessage: boolean,
): RecordFault | null {
  if (owner === undefined) return "sessionMissing";
  return isMessageKind(kind) && !hasMessage ? "messageMissing" : null;
}
