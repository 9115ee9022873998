/**
 * Keeps a second tab or worker off a database: a Web Lock. The browser releases it when its holder ends,
 * however that ends, so that a lock is never left behind.
 */
import { clearTimeout, setTimeout } from "../../captured.ts";
import type { LockManager } from "./api.ts";

/**
 * Takes the lock of a database; resolves with the function that releases it, or with null if another
 * holder still has it after `waitMillis`. `handleLoss` is called if a script of the site steals the lock.
 */
export function lockDatabase(
  locks: LockManager,
  name: string,
  waitMillis: number,
  handleLoss: () => void,
): Promise<(() => Promise<void>) | null> {
  const waiting = new AbortController();
  const timer = setTimeout(() => waiting.abort(), waitMillis);
  return new Promise((resolve, reject) => {
    let isHeld = false;
    const hold = (lock: object | null): Promise<void> => {
      clearTimeout(timer);
      if (lock === null) {
        resolve(null);
        return Promise.resolve();
      }
      isHeld = true;
      return new Promise((release) => {
        resolve(() => {
          release();
          return ended;
        });
      });
    };
    // A wait of 0 must not end before the browser has looked at a lock that is free.
    const options =
      waitMillis === 0 ? ({ ifAvailable: true } as const) : { signal: waiting.signal };
    const ended = locks.request(`sansmq:${name}`, options, hold).catch((error: unknown) => {
      clearTimeout(timer);
      if (isHeld) handleLoss();
      else if (waiting.signal.aborted) resolve(null);
      else reject(error);
    });
  });
}
