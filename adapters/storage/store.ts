/** The interface of a store for all state that has to survive a restart. */
import type { JournalBatch } from "../../core/mod.ts";

export interface Store {
  /** False: nothing survives a restart, and the broker writes no journal. */
  readonly isDurable: boolean;
  /** Stores a batch atomically; resolves when it is durable. */
  commit(batch: JournalBatch): Promise<void>;
  close(): Promise<void>;
}
