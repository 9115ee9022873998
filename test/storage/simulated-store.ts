/** A store on a simulated disk, and stores with one fault each, which the suite for stores has to find. */
import type { Store, StoreFixture } from "../../adapters/storage/testing/mod.ts";
import { type JournalBatch, messageKey, Table } from "../../core/mod.ts";

export type Fault =
  | "loses removals"
  | "resolves early"
  | "stores half of a batch first"
  | "keeps half of a rejected batch"
  | "resolves though the disk is full"
  | "keeps views of the batch"
  | "cuts long keys"
  | "takes long values for damaged"
  | "forgets empty values"
  | "confuses the tables"
  | "gives a record twice"
  | "keeps the first value of a key"
  | "reads keys as text"
  | "is empty when opened again"
  | "calls itself volatile"
  | "reads messages in another order"
  | "leaves out messages that are missing";

interface Row {
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

interface Disk {
  rows: Map<string, Row>;
  isFull: boolean;
  /** Writes of a process that a crash has ended do not reach the disk. */
  crashes: number;
}

export function simulatedStore(fault: Fault | null): StoreFixture<Disk> {
  return {
    create: () => ({ rows: new Map(), isFull: false, crashes: 0 }),
    open: (disk) => {
      if (fault === "is empty when opened again") disk.rows = new Map();
      return Promise.resolve(new SimulatedStore(disk, fault));
    },
    crash: (disk) => {
      disk.crashes++;
    },
    setFull: (disk, isFull) => {
      disk.isFull = isFull;
    },
  };
}

class SimulatedStore implements Store {
  readonly isDurable: boolean;
  readonly #disk: Disk;
  readonly #fault: Fault | null;
  readonly #crashes: number;

  constructor(disk: Disk, fault: Fault | null) {
    this.#disk = disk;
    this.#fault = fault;
    this.#crashes = disk.crashes;
    this.isDurable = fault !== "calls itself volatile";
  }

  load(put: (table: Table, key: Uint8Array, value: Uint8Array) => void): void {
    for (const { table, key, value } of this.#disk.rows.values()) {
      put(table, key, value);
      if (this.#fault === "gives a record twice") put(table, key, value);
    }
  }

  async commit(batch: JournalBatch): Promise<void> {
    const changes = this.#changesOf(batch);
    if (this.#fault === "resolves early") {
      setImmediate(() => this.#write(changes));
      return;
    }
    const half = Math.ceil(changes.length / 2);
    const isHalved =
      this.#fault === "stores half of a batch first" ||
      (this.#fault === "keeps half of a rejected batch" && this.#disk.isFull);
    if (isHalved) this.#write(changes.slice(0, half));
    // A disk takes its time.
    for (let tick = 0; tick < 5; tick++) await Promise.resolve();
    if (this.#disk.isFull) {
      if (this.#fault === "resolves though the disk is full") return;
      throw new Error("the disk is full");
    }
    this.#write(isHalved ? changes.slice(half) : changes);
    for (let tick = 0; tick < 5; tick++) await Promise.resolve();
  }

  async read(numbers: Float64Array): Promise<(Uint8Array | null)[]> {
    await Promise.resolve();
    const values = Array.from(numbers, (number) => {
      const key = Buffer.from(messageKey(number)).toString("latin1");
      return this.#disk.rows.get(`${Table.Message} ${key}`)?.value ?? null;
    });
    if (this.#fault === "reads messages in another order") return values.reverse();
    if (this.#fault === "leaves out messages that are missing")
      return values.filter((value) => value !== null);
    return values;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #changesOf(batch: JournalBatch): [name: string, row: Row | null][] {
    const fault = this.#fault;
    const changes: [string, Row | null][] = [];
    const records = batch.records();
    while (records.next()) {
      const { table } = records;
      let key: Uint8Array = records.key.slice();
      if (fault === "cuts long keys") key = key.subarray(0, 1900);
      if (fault === "reads keys as text") key = Buffer.from(Buffer.from(key).toString());
      const isView = fault === "keeps views of the batch";
      const value = isView ? records.value : (records.value?.slice() ?? null);
      if (value?.length === 0 && fault === "forgets empty values") continue;
      if (value !== null && value.length > 1e6 && fault === "takes long values for damaged")
        continue;
      if (value === null && fault === "loses removals") continue;
      const text = Buffer.from(key).toString("latin1");
      const name = fault === "confuses the tables" ? text : `${table} ${text}`;
      changes.push([name, value === null ? null : { table, key, value }]);
    }
    return changes;
  }

  #write(changes: readonly [string, Row | null][]): void {
    const { rows, crashes } = this.#disk;
    if (crashes !== this.#crashes) return;
    for (const [name, row] of changes) {
      if (row === null) rows.delete(name);
      else if (!(this.#fault === "keeps the first value of a key" && rows.has(name))) {
        rows.set(name, row);
      }
    }
  }
}
