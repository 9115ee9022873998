/** The interface of a store for all state that has to survive a restart. */
import type { JournalBatch, Table } from "../../core/mod.ts";

export interface Store {
  /** False: nothing survives a restart, and the broker writes no journal. */
  readonly isDurable: boolean;
  /**
   * Passes every record to `put`, in any order, and resolves after the last one; a store that reads
   * without waiting may return nothing. Called once, before the first commit. `put` copies what it needs.
   * A store without it has nothing to recover.
   */
  load?(put: (table: Table, key: Uint8Array, value: Uint8Array) => void): Promise<void> | void;
  /**
   * Stores a batch, all of it or nothing, and resolves when it is durable. Called for one batch at a
   * time; the batch is valid until then. If there is no room, it rejects with an error whose `code` is
   * `ENOSPC`, `EDQUOT` or `EFBIG`, or whose `name` is `QuotaExceededError`: the broker then passes the
   * same batch again later. Any other rejection says that the store has failed for good.
   */
  commit(batch: JournalBatch): Promise<void>;
  /**
   * Reads the values of records in `Table.Message` by message number, in that order; null: there is no such
   * record. `messageKey` makes the key of a number. It may be called while a batch is being stored. The caller
   * may keep the values and does not change them. With a store without it, all queued messages stay in memory.
   */
  read?(numbers: Float64Array): Promise<readonly (Uint8Array | null)[]>;
  /** Called after the last commit. */
  close(): Promise<void>;
}
