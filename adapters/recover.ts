/** Makes the parts of a broker, and recovers its state from the store. Apart, so that a bundle without a store leaves it out. */
import { Recovery } from "../core/mod.ts";
import type { InnerOptions } from "./broker-options.ts";
import type { Runtime } from "./host.ts";
import type { Prepared } from "./prepare.ts";
import { prepareUnrecovered } from "./prepare.ts";

/** Prepares a broker, and resolves once its store has loaded. Rejects with ConfigError, or with the error of the store. */
export async function prepareRecovered(runtime: Runtime, options: InnerOptions): Promise<Prepared> {
  const prepared = prepareUnrecovered(runtime, options);
  const { broker, store } = prepared;
  if (!store.isDurable || store.load === undefined) return prepared;
  const recovery = new Recovery(broker);
  await store.load((table, key, value) => recovery.put(table, key, value));
  for (let numbers = recovery.wanted(); numbers !== null; numbers = recovery.wanted()) {
    const values = await store.read!(numbers);
    for (const [i, number] of numbers.entries()) {
      const value = values[i] ?? null;
      if (value !== null) recovery.putWanted(number, value);
    }
  }
  recovery.finish(runtime.loop.now());
  return { ...prepared, recovered: recovery.counts };
}
