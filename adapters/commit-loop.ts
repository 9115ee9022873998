/**
 * Gives the journal of a broker to its store, one batch at a time. While the store is full, it tries
 * again with the same batch, so that the broker goes on once there is room.
 */
import type { Broker, Limits, Millis, WriteBatch } from "../core/mod.ts";
import { WriteBatch as Batch, JournalState } from "../core/mod.ts";
import type { HostLoop } from "./host.ts";
import type { Store } from "./storage/store.ts";
import { isStoreFull } from "./storage/store-full.ts";

export interface CommitLoopOptions {
  readonly broker: Broker;
  readonly loop: HostLoop;
  readonly store: Store;
  readonly limits: Pick<Limits, "storeRetryMillisMax" | "storeFullMillisMax">;
  /** A batch is durable, or its commit has failed: the broker may have output. */
  handleProgress(): void;
  /** The store has no room. */
  handleFull(error: unknown): void;
  /** The store has room again, after `fullMillis`. */
  handleRecovered(fullMillis: number): void;
  /** The store has failed: nothing more becomes durable. */
  handleFailure(error: unknown): void;
}

/** `ready`: it stores what it gets. `full`: it has no room for now. `failed`: it stores nothing more. */
export type StoreState = "ready" | "full" | "failed";

export class CommitLoop {
  readonly #options: CommitLoopOptions;
  readonly #batch: WriteBatch = new Batch();
  /** Since when the store is full; null: it is not. */
  #fullSince: Millis | null = null;
  #hasFailed = false;
  #isEnded = false;
  /** The current attempt. Null: the store has nothing to do, or a retry waits for its time. */
  #attempt: Promise<void> | null = null;
  #retryMillis = RETRY_MILLIS_MIN;
  #retryAlarm: unknown = null;
  /** For writes that no output waits for. */
  #delayAlarm: unknown = null;

  constructor(options: CommitLoopOptions) {
    this.#options = options;
  }

  get state(): StoreState {
    if (this.#hasFailed) return "failed";
    return this.#fullSince === null ? "ready" : "full";
  }

  /**
   * Gives the writes since the last batch to the store, unless it has a batch. Writes that no output waits for may wait
   * for others, such as the removal of a message that has been acknowledged: a sync of its own would delay the next
   * message.
   */
  commit(): void {
    const { broker, loop } = this.#options;
    if (this.#isEnded) return;
    if (broker.journalState !== JournalState.Unawaited) {
      this.#commitNow();
      return;
    }
    this.#delayAlarm ??= loop.setAlarm(() => {
      this.#delayAlarm = null;
      this.#commitNow();
    }, DELAY_MILLIS);
  }

  #commitNow(): void {
    const isBusy = this.#attempt !== null || this.state !== "ready" || this.#isEnded;
    const { broker, loop } = this.#options;
    if (isBusy || !broker.pollJournal(this.#batch)) return;
    if (this.#batch.count > 0) {
      this.#store();
      return;
    }
    // All its writes cancelled each other: there is nothing to store.
    broker.handleCommit(this.#batch.lastSeq, loop.now());
    this.#options.handleProgress();
  }

  /** Resolves once every write is durable, or none can be now. */
  async finish(): Promise<void> {
    for (;;) {
      this.#commitNow();
      if (this.#attempt === null) return;
      await this.#attempt;
    }
  }

  /** The store has failed; the broker knows. */
  fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#options.handleFailure(error);
  }

  /** Makes no further attempt. */
  end(): void {
    this.#isEnded = true;
    this.#options.loop.clearAlarm(this.#retryAlarm);
    this.#options.loop.clearAlarm(this.#delayAlarm);
  }

  #store(): void {
    this.#attempt = this.#options.store.commit(this.#batch).then(
      () => this.#handleStored(),
      (error: unknown) => this.#handleError(error),
    );
  }

  #handleStored(): void {
    const { broker, loop } = this.#options;
    this.#attempt = null;
    const now = loop.now();
    const fullSince = this.#fullSince;
    this.#fullSince = null;
    this.#retryMillis = RETRY_MILLIS_MIN;
    broker.handleCommit(this.#batch.lastSeq, now);
    if (fullSince !== null) this.#options.handleRecovered(now - fullSince);
    this.#options.handleProgress();
  }

  #handleError(error: unknown): void {
    const { broker, loop, limits } = this.#options;
    this.#attempt = null;
    const now = loop.now();
    const { storeRetryMillisMax, storeFullMillisMax } = limits;
    const fullMillis = this.#fullSince === null ? 0 : now - this.#fullSince;
    const isTooLong = storeFullMillisMax > 0 && fullMillis >= storeFullMillisMax;
    if (!isStoreFull(error) || isTooLong) {
      // The gates stay closed: messages that were not stored are not acknowledged.
      broker.handleCommitFailure(this.#batch.lastSeq, false, now);
      this.fail(error);
      return;
    }
    broker.handleCommitFailure(this.#batch.lastSeq, true, now);
    const isFirst = this.#fullSince === null;
    this.#fullSince ??= now;
    if (isFirst) this.#options.handleFull(error);
    this.#options.handleProgress();
    if (this.#isEnded) return;
    const pause = Math.min(this.#retryMillis, storeRetryMillisMax);
    this.#retryMillis = pause * 2;
    this.#retryAlarm = loop.setAlarm(() => this.#store(), pause);
  }
}

/** The pause before the first retry. Each pause is twice as long as the one before it. */
const RETRY_MILLIS_MIN = 50;
/** The longest time that writes wait for others if no output waits for them. */
const DELAY_MILLIS = 10;
