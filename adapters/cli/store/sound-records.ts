/**
 * The records of a store that a broker would recover, decoded, and what is wrong with the others: the core's rules, with
 * texts for people.
 */
import type { DecodedRecord, RecordFault } from "../../../core/mod.ts";
import { decodeRecord, faultOf, Table } from "../../../core/mod.ts";
import type { PageFault } from "../../storage/folder/lmdb-file.ts";
import type { StoredRecord } from "../../storage/folder/record-keys.ts";
import type { CountName } from "./record-names.ts";
import { countNameOf, countNames, describeRecord } from "./record-names.ts";
import { SerialTable } from "./serial-table.ts";

/** A record that is whole, and whose session and message are there. */
export type SoundRecord = DecodedRecord & {
  readonly value: Uint8Array;
  /** The client identifier of the session whose number the record has; empty: it has none. */
  readonly owner: string;
};

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
      else this.counts[countNameOf(sound)]++;
    }
    // The references to messages are known now.
    for (const record of this.#reader.recordsOf(Table.Message)) {
      const sound = this.#decode(record);
      if (sound === "unused") this.unusedCount++;
      else if (typeof sound === "string") this.#damaged(record, sound);
      else this.counts[countNameOf(sound)]++;
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
    const record = decodeRecord(table, key, value);
    if (record?.table === Table.Session) {
      const { durableId, clientId } = record.fields;
      if (!this.#clientIds.has(durableId)) this.#clientIds.set(durableId, clientId);
    } else if (record?.table === Table.Message) {
      this.#messages.add(record.fields.serial);
    }
  }

  /** The decoded record, or what is wrong with it. */
  #decode({ table, key, value }: StoredRecord): SoundRecord | Fault {
    const record = decodeRecord(table, key, value);
    if (record === null) return "unreadable";
    const { fields } = record;
    const owner = "durableId" in fields ? this.#clientIds.get(fields.durableId) : undefined;
    const hasMessage = "serial" in fields && this.#messages.has(fields.serial);
    const fault = faultOf(record, owner, hasMessage);
    if (fault !== null) return fault;
    if (record.table === Table.Message) {
      if (!this.#messages.isMarked(record.fields.serial)) return "unused";
    } else if (hasMessage) {
      this.#messages.mark(fields.serial);
    }
    return { ...record, value, owner: owner ?? "" };
  }

  #damaged({ table, key }: StoredRecord, fault: Fault): void {
    this.damagedCount++;
    if (this.damage.length >= DAMAGE_MAX) return;
    const name = describeRecord(table, key, (durableId) => this.#clientIds.get(durableId));
    this.damage.push(`${name}: ${faultTexts[fault]}`);
  }
}

/** What is wrong with a record. Unused messages are no damage. */
type Fault = RecordFault | "unreadable" | "unused";

const faultTexts: Readonly<Record<Fault, string>> = {
  unreadable: "it cannot be read",
  numberTaken: "another session has its number",
  sessionMissing: "its session is missing",
  messageMissing: "its message is missing",
  unused: "no record refers to it",
};
const tables: readonly Table[] = [
  ...[Table.Session, Table.Subscription, Table.Message],
  ...[Table.Queue, Table.Retained, Table.Will],
];
/** More damaged records are counted, and not described. */
const DAMAGE_MAX = 20;
