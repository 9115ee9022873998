/** Where what must survive is kept. */
import type { JournalBatch } from "../../core/mod.ts";

export interface Store {
  /** False: it keeps nothing over a restart, and the broker journals nothing. */
  readonly isDurable: boolean;
  /** Stores a batch, all of it or nothing; resolves once it is durable. */
  commit(batch: JournalBatch): Promise<void>;
  close(): Promise<void>;
}
