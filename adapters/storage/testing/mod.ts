/** Tests for stores, for any test framework: `for (const { name, run } of storeSuite(fixture)) test(name, run)`. */
export type { Store } from "../store.ts";
export type { StoreFixture, StoreTest } from "./store-suite.ts";
export { storeSuite } from "./store-suite.ts";
