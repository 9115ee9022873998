/** The store that is none: what the broker holds in memory is all there is, and ends with it. */
import type { Store } from "./store.ts";

export function memoryStore(): Store {
  return {
    isDurable: false,
    commit: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
