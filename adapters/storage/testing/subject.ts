/** A store in a test, beside the contents that it should have. */
import { messageKey, Table } from "../../../core/mod.ts";
import type { Store } from "../store.ts";
import type { Change, Contents } from "./contents.ts";
import { batchOf, changed, contentsOf, difference } from "./contents.ts";

/** What the fixture does with the store of one test. */
export interface Actions {
  open(): Promise<Store>;
  crash(): Promise<void>;
  setFull(isFull: boolean): Promise<void>;
}

export class Subject {
  readonly #actions: Actions;
  #store: Store | null = null;
  expected: Contents = new Map();

  constructor(actions: Actions) {
    this.#actions = actions;
  }

  /** Opens the store and compares its contents. */
  async open(): Promise<void> {
    const found = await this.#load();
    const wrong = difference(found, this.expected);
    if (wrong !== null) throw new Error(wrong);
  }

  /** Opens the store, which may have these contents or the expected ones, and expects from now on those that it has. */
  async openEither(other: Contents): Promise<void> {
    const found = await this.#load();
    const [fromExpected, fromOther] = [difference(found, this.expected), difference(found, other)];
    if (fromExpected === null) return;
    if (fromOther !== null) {
      throw new Error(
        `the store has part of a batch: without the batch, ${fromExpected}; with it, ${fromOther}`,
      );
    }
    this.expected = other;
  }

  async #load(): Promise<Contents> {
    this.#store = await this.#actions.open();
    if (this.#store.isDurable !== true) throw new Error("`isDurable` is not true");
    return contentsOf(this.#store);
  }

  /** Opens the store, which keeps nothing. */
  async openVolatile(): Promise<void> {
    this.#store = await this.#actions.open();
    if (this.#store.isDurable !== false) throw new Error("`isDurable` is not false");
    if (this.#store.load === undefined) return;
    const wrong = difference(await contentsOf(this.#store), new Map());
    if (wrong !== null) throw new Error(wrong);
  }

  async commit(...changes: readonly Change[]): Promise<void> {
    const batch = batchOf(changes);
    await this.#store!.commit(batch);
    // The broker fills the same memory with the next batch.
    batch.bytes.fill(0xee);
    this.expected = changed(this.expected, changes);
  }

  /** Begins a commit that a test does not wait for. A crash may end it, so that its promise may never settle. */
  begin(...changes: readonly Change[]): void {
    void Promise.resolve(this.#store!.commit(batchOf(changes))).catch(() => {});
  }

  async close(): Promise<void> {
    await this.#store!.close();
  }

  async reopen(): Promise<void> {
    await this.close();
    await this.open();
  }

  /** Whether the store has the function `read`. */
  get hasRead(): boolean {
    return this.#store!.read !== undefined;
  }

  /** Reads messages by number, and compares their values with the lengths; null: there is none. */
  async read(
    expected: readonly (readonly [number: number, bytes: number | null])[],
  ): Promise<void> {
    const values = await this.#store!.read!(Float64Array.from(expected, ([number]) => number));
    if (values.length !== expected.length) {
      throw new Error(`read gave ${values.length} values for ${expected.length} numbers`);
    }
    expected.forEach(([number, bytes], index) => {
      const wrong = difference(
        changed(new Map(), [[Table.Message, messageKey(number), values[index]!]]),
        changed(new Map(), [[Table.Message, messageKey(number), bytes]]),
      );
      if (wrong !== null) throw new Error(`read: ${wrong}`);
    });
  }

  crash(): Promise<void> {
    return this.#actions.crash();
  }

  setFull(isFull: boolean): Promise<void> {
    return this.#actions.setFull(isFull);
  }
}
