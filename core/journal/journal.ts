/**
 * Numbers the writes for the store and groups them: all writes since the last poll form one atomic
 * batch. Output that depends on writes waits until the last of them is committed.
 */
import type { JournalBatch, Seq, Table } from "../boundary.ts";

/** A batch of writes. The caller makes two and passes them to `pollJournal` in turn. */
export class WriteBatch implements JournalBatch {
  #tables: Table[] = [];
  #keys: Uint8Array[] = [];
  #values: (Uint8Array | null)[] = [];
  #firstSeq = 0;

  get count(): number {
    return this.#tables.length;
  }
  get firstSeq(): Seq {
    return this.#firstSeq as Seq;
  }
  get lastSeq(): Seq {
    return (this.#firstSeq + this.count - 1) as Seq;
  }
  table(index: number): Table {
    return this.#tables[index]!;
  }
  key(index: number): Uint8Array {
    return this.#keys[index]!;
  }
  value(index: number): Uint8Array | null {
    return this.#values[index]!;
  }

  /** Empties the batch; its next write has the number `firstSeq`. */
  reset(firstSeq: number): void {
    this.#tables = [];
    this.#keys = [];
    this.#values = [];
    this.#firstSeq = firstSeq;
  }

  add(table: Table, key: Uint8Array, value: Uint8Array | null): void {
    this.#tables.push(table);
    this.#keys.push(key);
    this.#values.push(value);
  }

  /** Exchanges the contents of two batches. */
  swap(other: WriteBatch): void {
    [this.#tables, other.#tables] = [other.#tables, this.#tables];
    [this.#keys, other.#keys] = [other.#keys, this.#keys];
    [this.#values, other.#values] = [other.#values, this.#values];
    [this.#firstSeq, other.#firstSeq] = [other.#firstSeq, this.#firstSeq];
  }
}

export class Journal {
  readonly #open = new WriteBatch();
  #committed = 0;
  /** The store has failed permanently: no more writes will be durable. */
  hasFailed = false;

  constructor() {
    this.#open.reset(1);
  }

  /**
   * The number of the newest write, or 0. Output that depends on all writes so far waits for it.
   */
  get lastSeq(): Seq {
    return (this.#open.firstSeq + this.#open.count - 1) as Seq;
  }

  /** A `value` of null removes the key. The journal owns both arrays from here on. */
  write(table: Table, key: Uint8Array, value: Uint8Array | null): void {
    this.#open.add(table, key, value);
  }

  get committed(): Seq {
    return this.#committed as Seq;
  }

  commit(seq: Seq): void {
    this.#committed = Math.max(this.#committed, seq);
  }

  /** The number of writes that are not durable yet. */
  get backlog(): number {
    return this.lastSeq - this.#committed;
  }

  /** Swaps the open batch with `batch`; false if there are no writes. */
  poll(batch: WriteBatch): boolean {
    if (this.#open.count === 0) return false;
    batch.reset((this.lastSeq + 1) as number);
    this.#open.swap(batch);
    return true;
  }
}
