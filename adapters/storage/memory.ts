/** A store that stores nothing: all state is in the broker's memory and is lost when the broker ends. */
import type { Store } from "./store.ts";

export function memoryStore(): Store {
  return {
    isDurable: false,
    commit: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
