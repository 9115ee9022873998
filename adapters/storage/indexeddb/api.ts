/** The part of IndexedDB and Web Locks that is used here. Its names are the browser's, without a prefix. */
export interface BrowserStorage {
  readonly indexedDB?: Factory;
  readonly IDBKeyRange: { lowerBound(key: ArrayBuffer, isOpen: boolean): KeyRange };
  readonly navigator?: { readonly locks?: LockManager };
}

export interface Factory {
  open(name: string, version: number): OpenRequest;
}

export interface Request<Result> {
  readonly result: Result;
  readonly error: Error | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}

export interface OpenRequest extends Request<Database> {
  onupgradeneeded: (() => void) | null;
  /** Another connection keeps the database at an older version. */
  onblocked: (() => void) | null;
}

export interface Database {
  readonly objectStoreNames: { contains(name: string): boolean };
  /** The browser closed the connection by itself. */
  onclose: (() => void) | null;
  createObjectStore(name: string): void;
  transaction(
    names: readonly string[],
    mode: "readonly" | "readwrite",
    options?: { readonly durability: "strict" },
  ): Transaction;
  close(): void;
}

export interface Transaction {
  readonly error: Error | null;
  oncomplete: (() => void) | null;
  onabort: (() => void) | null;
  objectStore(name: string): ObjectStore;
  abort(): void;
  /** Ends the transaction without waiting for the results of its requests. Older browsers lack it. */
  commit?(): void;
}

export interface ObjectStore {
  put(value: Uint8Array, key: Uint8Array): void;
  delete(key: Uint8Array): void;
  get(key: Uint8Array): Request<Uint8Array | undefined>;
  getAll(range: KeyRange | null, countMax: number): Request<Uint8Array[]>;
  getAllKeys(range: KeyRange | null, countMax?: number): Request<ArrayBuffer[]>;
}

declare const brand: unique symbol;
/** Made and read by the browser only. */
export interface KeyRange {
  readonly [brand]: never;
}

export interface LockManager {
  /** Holds the lock until the promise of `hold` settles. Without the lock, `hold` gets null. */
  request(
    name: string,
    options: { readonly ifAvailable: true } | { readonly signal: AbortSignal },
    hold: (lock: object | null) => Promise<void>,
  ): Promise<void>;
}
