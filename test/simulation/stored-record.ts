/** A record that the simulated store has. */
import type { Table } from "../../core/mod.ts";

export interface StoredRecord {
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}
