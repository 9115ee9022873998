/** The simulated store: the records of all batches that became durable. */
import type { Table as TableNumber } from "../../core/mod.ts";
import { type JournalBatch, type Recovery, readBatch, Table } from "../../core/mod.ts";
import type { Random } from "../support/random.ts";
import { type PlantedFault, withoutOrphans } from "./planted-faults.ts";
import type { StoredRecord } from "./stored-record.ts";
import { Violation } from "./violation.ts";

export class SimulatedStore {
  /** In the order in which their keys were first put. A message goes by its number, any other record by its key. */
  readonly #records = new Map<string | number, StoredRecord>();
  /** Durable batches that have not been applied to the records, which refer to these bytes afterwards. */
  #log: Uint8Array = new Uint8Array(LOG_BYTES);
  /** Where the first of them begins and each of them ends. */
  #start = 0;
  readonly #ends: number[] = [];
  readonly #fault: PlantedFault;
  /** Where values are while a recovery reads them. */
  #lent: Uint8Array = new Uint8Array(1024);

  constructor(fault: PlantedFault) {
    this.#fault = fault;
  }

  commit(batch: JournalBatch): void {
    const bytes = batch.encoded();
    let start = this.#ends.at(-1) ?? this.#start;
    if (start + bytes.length > this.#log.length) {
      this.#applyLog();
      this.#log = new Uint8Array(Math.max(LOG_BYTES, bytes.length));
      this.#start = start = 0;
    }
    this.#log.set(bytes, start);
    this.#ends.push(start + bytes.length);
  }

  /** The process stopped while it wrote a batch, and the store has part of it: no part may be taken for a batch. */
  tear(batch: JournalBatch, random: Random): void {
    const bytes = batch.encoded().slice();
    const at = random.below(bytes.length);
    const torn = bytes.slice(0, at);
    if (readBatch(torn) !== null) throw new Violation(`${at} bytes of a batch are taken for it`);
    // The file may be as long as it should be, with zeros or old bytes at its end.
    if (bytes.subarray(at).every((byte) => byte === 0)) return;
    bytes.fill(0, at);
    if (readBatch(bytes) !== null) throw new Violation(`a batch with zeros from ${at} is taken`);
  }

  /** A copy of the record of a message, or null. */
  read(number: number): Uint8Array | null {
    this.#applyLog();
    return this.#records.get(number)?.value.slice() ?? null;
  }

  count(table: TableNumber): number {
    this.#applyLog();
    let count = 0;
    for (const record of this.#records.values()) if (record.table === table) count++;
    return count;
  }

  /** Passes all records to a recovery, in any order. */
  load(recovery: Recovery, random: Random): void {
    this.#applyLog();
    const records = [...this.#records.values()];
    const order = random.below(3);
    if (order === 0) records.reverse();
    else if (order === 1) shuffle(records, random);
    for (const { table, key, value } of this.#faulty(records)) {
      if (value.length > this.#lent.length) this.#lent = new Uint8Array(value.length * 2);
      const lent = this.#lent.subarray(0, value.length);
      lent.set(value);
      recovery.put(table, key, lent);
      lent.fill(0xee);
    }
    for (let wanted = recovery.wanted(); wanted !== null; wanted = recovery.wanted()) {
      for (const number of wanted) {
        const value = this.read(number);
        if (value !== null) recovery.putWanted(number, value);
      }
    }
  }

  #faulty(records: readonly StoredRecord[]): readonly StoredRecord[] {
    const { isLost, load } = this.#fault;
    if (isLost === undefined && load === undefined) return records;
    return withoutOrphans(load?.(records) ?? records);
  }

  #applyLog(): void {
    for (const end of this.#ends) {
      const batch = readBatch(this.#log.subarray(this.#start, end));
      this.#start = end;
      if (batch === null) throw new Violation("a whole batch is not taken for one");
      while (batch.next()) {
        const { table, key, value } = batch;
        if (this.#fault.isLost?.(table, key, value) === true) continue;
        const name = nameOf(table, key);
        if (value !== null) this.#records.set(name, { table, key, value });
        else if (!this.#records.delete(name) && this.#fault.isLost === undefined) {
          throw new Violation(`removes a record of table ${table} that the store does not have`);
        }
      }
    }
    this.#ends.length = 0;
  }
}

function nameOf(table: TableNumber, key: Uint8Array): string | number {
  // Most records are of these two tables, and the general way costs more than the rest of an insertion.
  if (table === Table.Message) {
    numberBytes.set(key);
    return numberView.getFloat64(0);
  }
  if (table === Table.Queue) {
    const [first, second] = [pairOf(key, 0), pairOf(key, 2)];
    return String.fromCharCode(table, first, second, pairOf(key, 4), pairOf(key, 6), key[8]!);
  }
  const text = Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
  return String.fromCharCode(table) + text;
}
const numberBytes = new Uint8Array(8);
const numberView = new DataView(numberBytes.buffer);

function pairOf(key: Uint8Array, at: number): number {
  return (key[at]! << 8) | key[at + 1]!;
}

function shuffle<T>(list: T[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const other = random.below(i + 1);
    [list[i], list[other]] = [list[other]!, list[i]!];
  }
}

export const tables: readonly TableNumber[] = Object.values(Table);
const LOG_BYTES = 65_536;
