/** Opens the IndexedDB database of a store. What the browser refuses becomes one clear error. */
import { ConfigError } from "../../../core/mod.ts";
import type { BrowserStorage, Database, Factory, Request } from "./api.ts";

/** The object store of most values. */
export const RECORDS = "records";
/** The object store of large values. */
export const LARGE = "large";
const VERSION = 1;

export async function openDatabase(name: string): Promise<Database> {
  const database = await opened(factoryFor(name), name);
  const { objectStoreNames } = database;
  if (objectStoreNames.contains(RECORDS) && objectStoreNames.contains(LARGE)) return database;
  database.close();
  throw new ConfigError("store", name, "a database that sansmq made");
}

/** Some browsers have no IndexedDB in private windows; in others a page without an origin may not even ask. */
function factoryFor(name: string): Factory {
  try {
    const factory = (globalThis as unknown as BrowserStorage).indexedDB ?? null;
    if (factory !== null) return factory;
  } catch (error) {
    throw refused(name, error);
  }
  throw refused(name, null);
}

function opened(factory: Factory, name: string): Promise<Database> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    const fail = (error: unknown): void => {
      isOver = true;
      reject(error);
    };
    try {
      const request = factory.open(name, VERSION);
      request.onupgradeneeded = () => {
        for (const store of [RECORDS, LARGE]) request.result.createObjectStore(store);
      };
      request.onsuccess = () => {
        // It was blocked, and the caller has been told.
        if (isOver) request.result.close();
        else resolve(request.result);
      };
      request.onblocked = () =>
        fail(new ConfigError("store", name, "a database that no tab has open in an older version"));
      request.onerror = () => fail(openFailure(name, request.error));
    } catch (error) {
      fail(refused(name, error));
    }
  });
}

function openFailure(name: string, error: Error | null): Error {
  // Not a matter of configuration: there may be room again later.
  if (error?.name === "QuotaExceededError") return error;
  if (error?.name === "VersionError") {
    return new ConfigError("store", name, "a database of this version of sansmq or an older one");
  }
  return refused(name, error);
}

function refused(name: string, error: unknown): ConfigError {
  const reason = error === null ? "" : ` (${String(error)})`;
  return new ConfigError(
    "store",
    name,
    "a database that the browser opens",
    `store: the browser has no IndexedDB for this page${reason}; a private window or blocked cookies may be why`,
  );
}

/** The result of a request. */
export function resultOf<Result>(request: Request<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
