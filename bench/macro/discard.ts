/**
 * sansmq with a store that takes every batch and throws it away at once: what the journal and the
 * order of acknowledgements cost without a disk.
 */
import { createBroker } from "../../adapters/node/mod.ts";
import type { Store } from "../../adapters/storage/store.ts";

const store: Store = {
  isDurable: true,
  commit: () => Promise.resolve(),
  close: () => Promise.resolve(),
};
await createBroker({ store, tcp: { port: Number(process.argv[2]) } });
process.stdout.write("discard listening\n");
