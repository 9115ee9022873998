/**
 * What a crash takes back: the model's changes that the store does not have yet.
 *
 * A batch has all changes since the batch before it, and a store takes it whole or not at all. So a change that was made
 * before batch n was polled survives exactly if batch n does. What the broker has told a client survives in any case: the
 * caller leaves it as it is when the change is undone.
 */
export class UndoLog {
  /** The batch that will have the changes of now. */
  batch = 1;
  readonly #batches: number[] = [];
  readonly #undos: (() => void)[] = [];
  readonly #confirmations: ((() => void) | null)[] = [];
  /** The oldest entry that is still there. */
  #head = 0;

  /** `confirm` is called when the change is durable. */
  push(undo: () => void, confirm: (() => void) | null = null): void {
    this.#batches.push(this.batch);
    this.#undos.push(undo);
    this.#confirmations.push(confirm);
  }

  /** The batches up to `batch` are durable. */
  forget(batch: number): void {
    while (this.#head < this.#batches.length && this.#batches[this.#head]! <= batch) {
      this.#confirmations[this.#head]?.();
      this.#head++;
    }
    if (this.#head === this.#batches.length) {
      this.#clear();
      return;
    }
    if (this.#head < 1024) return;
    this.#batches.splice(0, this.#head);
    this.#undos.splice(0, this.#head);
    this.#confirmations.splice(0, this.#head);
    this.#head = 0;
  }

  /** Takes back all changes that are left, the latest first. */
  undo(): void {
    while (this.#batches.length > this.#head) {
      this.#batches.pop();
      this.#undos.pop()!();
    }
    this.#clear();
  }

  #clear(): void {
    this.#batches.length = 0;
    this.#undos.length = 0;
    this.#confirmations.length = 0;
    this.#head = 0;
  }
}
