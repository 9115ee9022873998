/**
 * A store in the browser, by IndexedDB, for a broker in a tab, a worker or a service worker. A batch is
 * one transaction of the durability "strict", and a commit resolves once the transaction is complete.
 *
 * ```
 * object store "records"  values of up to SMALL_BYTES_MAX bytes
 * object store "large"    longer values
 * key                     table u8 · key of the record
 * ```
 *
 * `load` reads in chunks of a number of records. The division bounds the memory of a chunk: many
 * small values, or few large ones.
 */
import type { JournalBatch, Table } from "../../../core/mod.ts";
import { ConfigError, messageKey, Table as Tables } from "../../../core/mod.ts";
import { prefixed } from "../../bytes.ts";
import { checkText, checkWhole } from "../../checks.ts";
import { checkOptions } from "../../options.ts";
import type { Store } from "../store.ts";
import type { BrowserStorage, Database, LockManager, ObjectStore, Transaction } from "./api.ts";
import { LARGE, openDatabase, RECORDS, resultOf } from "./database.ts";
import { lockDatabase } from "./web-lock.ts";

export interface IndexedDbStoreOptions {
  /**
   * How long to wait for another tab or worker that has the store. Default: 2000, because a page that
   * is loaded again may be there before the browser has ended the old one. 0 does not wait.
   */
  readonly lockWaitMillis?: number;
}

/**
 * Opens the store in the IndexedDB database `name`, which it makes if need be. Rejects with ConfigError if
 * the browser has no IndexedDB or Web Locks for this page, if another tab or worker has the store, or if
 * the database is not one of this version of sansmq.
 */
export async function openIndexedDbStore(
  name: string,
  options: IndexedDbStoreOptions = {},
): Promise<Store> {
  checkText("store", name);
  checkOptions<IndexedDbStoreOptions>("options", options, { lockWaitMillis: true });
  const { lockWaitMillis = LOCK_WAIT_MILLIS } = options;
  checkWhole("lockWaitMillis", lockWaitMillis, 0, LOCK_WAIT_MILLIS_MAX);
  const loss: Loss = { error: null };
  const handleLoss = (): void => {
    loss.error = new Error(`store: another script of the site stole the lock of ${name}`);
  };
  const locks = locksFor(name);
  const unlock = await lockDatabase(locks, name, lockWaitMillis, handleLoss).catch(
    (error: unknown) => {
      // A page without an origin, as in a sandbox.
      throw noLocks(name, `store: the browser refuses this page Web Locks (${String(error)})`);
    },
  );
  if (unlock === null) {
    throw new ConfigError("store", name, "a database that no other tab or worker uses");
  }
  let database: Database | null = null;
  try {
    database = await openDatabase(name);
    database.onclose = () => {
      loss.error = new Error(
        `store: the browser closed the database ${name}, as when the data of the site is cleared`,
      );
    };
    return new IndexedDbStore({ database, unlock, loss, large: await largeKeys(database) });
  } catch (error) {
    database?.close();
    await unlock();
    throw error;
  }
}

/** Without a lock, two tabs would be two brokers over one set of sessions, and each would undo the other's writes. */
function locksFor(name: string): LockManager {
  const { locks } = (globalThis as unknown as BrowserStorage).navigator ?? {};
  if (locks !== undefined) return locks;
  throw noLocks(
    name,
    "store: this page has no Web Locks, which keep a second tab off the store; serve it by HTTPS or from localhost",
  );
}

function noLocks(name: string, message: string): ConfigError {
  return new ConfigError("store", name, "a page that may use Web Locks", message);
}

async function largeKeys(database: Database): Promise<Set<string>> {
  const keys = await resultOf(
    database.transaction([LARGE], "readonly").objectStore(LARGE).getAllKeys(null),
  );
  return new Set(keys.map((key) => textOf(new Uint8Array(key))));
}

interface Loss {
  /** Why nothing can be stored any more; null: the database is open. */
  error: Error | null;
}

interface Parts {
  readonly database: Database;
  readonly unlock: () => Promise<void>;
  readonly loss: Loss;
  readonly large: Set<string>;
}

/** Keys that a batch moves from one object store to the other. */
interface Moved {
  readonly toLarge: string[];
  readonly fromLarge: string[];
}

class IndexedDbStore implements Store {
  readonly isDurable = true;
  readonly #database: Database;
  readonly #unlock: () => Promise<void>;
  readonly #loss: Loss;
  /** The keys in the object store of large values, by `textOf`. */
  readonly #large: Set<string>;

  constructor({ database, unlock, loss, large }: Parts) {
    this.#database = database;
    this.#unlock = unlock;
    this.#loss = loss;
    this.#large = large;
  }

  async load(put: (table: Table, key: Uint8Array, value: Uint8Array) => void): Promise<void> {
    const transaction = this.#database.transaction([RECORDS, LARGE], "readonly");
    try {
      for (const [name, countMax] of CHUNKS) {
        await readAll(transaction.objectStore(name), countMax, (key, value) =>
          put(key[0] as Table, key.subarray(1), value),
        );
      }
    } catch (error) {
      throw this.#loss.error ?? error;
    }
  }

  commit(batch: JournalBatch): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#loss.error !== null) throw this.#loss.error;
      const names = [RECORDS, LARGE];
      const transaction = this.#database.transaction(names, "readwrite", { durability: "strict" });
      const moved: Moved = { toLarge: [], fromLarge: [] };
      transaction.oncomplete = () => {
        for (const key of moved.toLarge) this.#large.add(key);
        for (const key of moved.fromLarge) this.#large.delete(key);
        resolve();
      };
      transaction.onabort = () => {
        const undone = new Error("store: the browser undid a commit");
        reject(this.#loss.error ?? transaction.error ?? undone);
      };
      try {
        this.#write(batch, transaction, moved);
        transaction.commit?.();
      } catch (error) {
        transaction.abort();
        reject(error);
      }
    });
  }

  #write(batch: JournalBatch, transaction: Transaction, moved: Moved): void {
    const [small, large] = [transaction.objectStore(RECORDS), transaction.objectStore(LARGE)];
    const records = batch.records();
    while (records.next()) {
      const { value } = records;
      const key = prefixed(records.table, records.key);
      const isLarge = value !== null && value.length > SMALL_BYTES_MAX;
      // Most stores have no large values, and then no key has to become a text.
      const text = isLarge || this.#large.size > 0 ? textOf(key) : "";
      const wasLarge = this.#large.has(text);
      if (isLarge && !wasLarge) {
        small.delete(key);
        moved.toLarge.push(text);
      } else if (wasLarge && !isLarge) {
        large.delete(key);
        moved.fromLarge.push(text);
      }
      // A copy: the browser would keep the whole memory of a view.
      if (value !== null) (isLarge ? large : small).put(value.slice(), key);
      else if (!wasLarge) small.delete(key);
    }
  }

  read(numbers: Float64Array): Promise<(Uint8Array | null)[]> {
    const transaction = this.#database.transaction([RECORDS, LARGE], "readonly");
    const stores = [RECORDS, LARGE].map((name) => transaction.objectStore(name));
    const valueAt = async (number: number): Promise<Uint8Array | null> => {
      const key = prefixed(Tables.Message, messageKey(number));
      for (const store of stores) {
        const value = await resultOf(store.get(key));
        if (value !== undefined) return value;
      }
      return null;
    };
    return Promise.all(Array.from(numbers, valueAt));
  }

  async close(): Promise<void> {
    this.#database.close();
    await this.#unlock();
  }
}

/** Passes on all records of an object store, at most `countMax` at a time, while the browser reads the next ones. */
async function readAll(
  store: ObjectStore,
  countMax: number,
  take: (key: Uint8Array, value: Uint8Array) => void,
): Promise<void> {
  const { IDBKeyRange } = globalThis as unknown as BrowserStorage;
  let range = null;
  for (;;) {
    const [keys, values] = await Promise.all([
      resultOf(store.getAllKeys(range, countMax)),
      resultOf(store.getAll(range, countMax)),
    ]);
    for (let i = 0; i < keys.length; i++) take(new Uint8Array(keys[i]!), values[i]!);
    if (keys.length < countMax) return;
    range = IDBKeyRange.lowerBound(keys.at(-1)!, true);
  }
}

/** One character for each byte. */
function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

const SMALL_BYTES_MAX = 8192;
/** How many records `load` reads at a time: of small values at most 8 MiB, of large ones at most four messages. */
const CHUNKS = [
  [RECORDS, 1024],
  [LARGE, 4],
] as const;
const LOCK_WAIT_MILLIS = 2000;
/** The longest delay of a timer. */
const LOCK_WAIT_MILLIS_MAX = 2 ** 31 - 1;
