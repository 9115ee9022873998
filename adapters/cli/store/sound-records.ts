/**
 * The records of a store that a broker would recover, decoded, and what is wrong with the others. The rules are those
 * of the core's `Recovery`.
 */
import type {
  MessageFields,
  QueueFields,
  RecordedWillFields,
  RetainedFields,
  SessionFields,
  SubscriptionFields,
} from "../../../core/mod.ts";
import {
  ConfigError,
  decodeIdentifiers,
  decodeMessage,
  decodeQueue,
  decodeRetained,
  decodeSession,
  decodeSubscription,
  decodeWill,
  encodeUtf8,
  isTopicFilter,
  QueueRecordKind,
  RECORD_FORMAT,
  Table,
} from "../../../core/mod.ts";
import type { PageFault } from "../../storage/folder/lmdb-file.ts";
import type { StoredRecord } from "../../storage/folder/record-keys.ts";
import { SerialTable } from "./serial-table.ts";

/** A record that is whole, and whose session and message are there. */
export type SoundRecord =
  | { readonly table: typeof Table.Session; readonly fields: SessionFields }
  | {
      readonly table: typeof Table.Subscription;
      readonly fields: SubscriptionFields;
      readonly clientId: string;
    }
  | {
      readonly table: typeof Table.Message;
      readonly fields: MessageFields;
      readonly value: Uint8Array;
    }
  | {
      readonly table: typeof Table.Queue;
      readonly fields: QueueFields;
      readonly clientId: string;
      readonly identifiers: readonly number[];
    }
  | { readonly table: typeof Table.Retained; readonly fields: RetainedFields }
  | { readonly table: typeof Table.Will; readonly fields: RecordedWillFields };

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

/** Where records come from: a `StoreReader`. */
export interface RecordSource {
  /** All records, in any order. */
  records(): Iterable<StoredRecord>;
  /** Those of one table, messages by number. */
  recordsOf(table: Table): Iterable<StoredRecord>;
  /** The damaged pages that the last reading found: the first ones, and the number of all. */
  readonly faults: readonly PageFault[];
  readonly faultCount: number;
}

export class SoundRecords {
  readonly #reader: RecordSource;
  readonly #clientIds = new Map<number, string>();
  readonly #messages = new SerialTable();
  readonly counts: Record<CountName, number>;
  /** What is wrong with the first damaged records. */
  readonly damage: string[] = [];
  damagedCount = 0;
  /** The messages that no record refers to, which a broker removes when it starts. They are no damage. */
  unusedCount = 0;
  /** The first damaged pages. */
  pageFaults: readonly PageFault[] = [];
  pageFaultCount = 0;

  constructor(reader: RecordSource) {
    this.#reader = reader;
    this.counts = Object.fromEntries(countNames.map((name) => [name, 0])) as typeof this.counts;
  }

  get soundCount(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /**
   * Reads all records and counts them. `handle` is called for each, twice. Throws ConfigError if a newer program wrote
   * the store.
   */
  check(handle: () => void = () => {}): void {
    for (const record of this.#reader.records()) {
      handle();
      this.#index(record);
    }
    this.pageFaults = [...this.#reader.faults];
    this.pageFaultCount = this.#reader.faultCount;
    for (const record of this.#reader.records()) {
      handle();
      if (record.table === Table.Message) continue;
      const sound = this.#decode(record);
      if (typeof sound === "string") this.#damaged(record, sound);
      else this.#count(sound);
    }
    // The references to messages are known now.
    for (const record of this.#reader.recordsOf(Table.Message)) {
      const sound = this.#decode(record);
      if (sound === UNUSED) this.unusedCount++;
      else if (typeof sound === "string") this.#damaged(record, sound);
      else this.#count(sound);
    }
  }

  /** The sound records by table: what a record refers to comes before it. */
  *records(): Generator<SoundRecord> {
    for (const table of tables) {
      for (const record of this.#reader.recordsOf(table)) {
        const sound = this.#decode(record);
        if (typeof sound !== "string") yield sound;
      }
    }
  }

  /** Notes the sessions and messages, to which other records refer. */
  #index({ table, key, value }: StoredRecord): void {
    const format = value[0] ?? 0;
    if (format > RECORD_FORMAT) {
      throw new ConfigError("store", `format ${format}`, `format ${RECORD_FORMAT} or older`);
    }
    if (table === Table.Session) {
      const fields = format === 0 ? null : decodeSession(key, value);
      if (fields === null || this.#clientIds.has(fields.durableId)) return;
      this.#clientIds.set(fields.durableId, fields.clientId);
    } else if (table === Table.Message) {
      const fields = format === 0 ? null : decodeMessage(key, value);
      if (fields !== null) this.#messages.add(fields.serial);
    }
  }

  /** The decoded record, or its fault. */
  #decode({ table, key, value }: StoredRecord): SoundRecord | string {
    if (value[0] !== RECORD_FORMAT) return UNREADABLE;
    switch (table) {
      case Table.Session: {
        const fields = decodeSession(key, value);
        if (fields === null) return UNREADABLE;
        const isFirst = this.#clientIds.get(fields.durableId) === fields.clientId;
        return isFirst ? { table, fields } : "another session has its number";
      }
      case Table.Subscription: {
        const fields = decodeSubscription(key, value);
        if (fields === null) return UNREADABLE;
        const clientId = this.#clientIds.get(fields.durableId);
        if (clientId === undefined) return NO_SESSION;
        const text = encodeUtf8(fields.filter);
        const isFilter = isTopicFilter(text, 0, text.length, 65_535, 65_535);
        if (!isFilter || (fields.options & 3) === 3) return "its filter or QoS is invalid";
        return { table, fields, clientId };
      }
      case Table.Message: {
        const fields = decodeMessage(key, value);
        if (fields === null) return UNREADABLE;
        if (!this.#messages.isMarked(fields.serial)) return UNUSED;
        return { table, fields, value };
      }
      case Table.Queue:
        return this.#decodeQueue(key, value);
      case Table.Retained: {
        const fields = decodeRetained(key, value);
        if (fields === null) return UNREADABLE;
        return this.#messages.mark(fields.serial) ? { table, fields } : NO_MESSAGE;
      }
      case Table.Will: {
        const fields = decodeWill(key, value);
        if (fields === null) return UNREADABLE;
        return this.#messages.mark(fields.serial) ? { table, fields } : NO_MESSAGE;
      }
      default:
        return UNREADABLE;
    }
  }

  #decodeQueue(key: Uint8Array, value: Uint8Array): SoundRecord | string {
    const fields = decodeQueue(key, value);
    if (fields === null) return UNREADABLE;
    const identifiers = decodeIdentifiers(value, fields.propertyStart)!;
    const clientId = this.#clientIds.get(fields.durableId);
    if (clientId === undefined) return NO_SESSION;
    if (hasMessage(fields) && !this.#messages.mark(fields.serial)) return NO_MESSAGE;
    return { table: Table.Queue, fields, clientId, identifiers };
  }

  #count(record: SoundRecord): void {
    this.counts[record.table === Table.Queue ? queueName(record.fields) : names[record.table]]++;
  }

  #damaged({ table, key }: StoredRecord, problem: string): void {
    this.damagedCount++;
    if (this.damage.length >= DAMAGE_MAX) return;
    this.damage.push(`${this.#describe(table, key)}: ${problem}`);
  }

  /** Names a record for people, by as much of its key as can be read. */
  #describe(table: Table, key: Uint8Array): string {
    const view = new DataView(key.buffer, key.byteOffset, key.length);
    const session = (): string => {
      const number = view.getUint32(0);
      const clientId = this.#clientIds.get(number);
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
}

/** Whether an entry of a queue refers to a message. */
export function hasMessage({ kind }: QueueFields): boolean {
  return kind === QueueRecordKind.Queued || kind === QueueRecordKind.Sent;
}

function queueName({ kind }: QueueFields): CountName {
  if (kind === QueueRecordKind.Queued) return "queued";
  return kind === QueueRecordKind.Receipt ? "receipts" : "in flight";
}

/** A key that is a text, or as much of it as is one. */
function shown(key: Uint8Array): string {
  const text = new TextDecoder().decode(key.subarray(0, SHOWN_BYTES_MAX));
  return JSON.stringify(key.length > SHOWN_BYTES_MAX ? `${text}…` : text);
}

const tables: readonly Table[] = [
  ...[Table.Session, Table.Subscription, Table.Message],
  ...[Table.Queue, Table.Retained, Table.Will],
];
const names = {
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
const UNREADABLE = "it cannot be read";
const NO_SESSION = "its session is missing";
const UNUSED = "no record refers to it";
const NO_MESSAGE = "its message is missing";
const SHOWN_BYTES_MAX = 200;
/** More damaged records are counted, and not described. */
const DAMAGE_MAX = 20;
