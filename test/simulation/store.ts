/** The simulated store: the records of all batches that became durable. */
import type { Table as TableNumber } from "../../core/mod.ts";
import { type JournalBatch, messageKey, type Recovery, readBatch, Table } from "../../core/mod.ts";
import type { Random } from "../support/random.ts";
import { type PlantedFault, withoutOrphans } from "./planted-faults.ts";
import type { StoredRecord } from "./stored-record.ts";
import { Violation } from "./violation.ts";

export class SimulatedStore {
  readonly #records = new Map<string, StoredRecord>();
  /** Durable batches that have not been applied to the records. */
  readonly #log: Uint8Array[] = [];
  readonly #fault: PlantedFault;

  constructor(fault: PlantedFault) {
    this.#fault = fault;
  }

  commit(batch: JournalBatch): void {
    this.#log.push(batch.encoded().slice());
    if (this.#log.length === LOG_MAX) this.#applyLog();
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
    return this.#records.get(nameOf(Table.Message, messageKey(number)))?.value.slice() ?? null;
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
      const lent = value.slice();
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
    for (const bytes of this.#log) {
      const batch = readBatch(bytes);
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
    this.#log.length = 0;
  }
}

function nameOf(table: TableNumber, key: Uint8Array): string {
  const text = Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
  return String.fromCharCode(table) + text;
}

function shuffle<T>(list: T[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const other = random.below(i + 1);
    [list[i], list[other]] = [list[other]!, list[i]!];
  }
}

export const tables: readonly TableNumber[] = Object.values(Table);
const LOG_MAX = 256;
