// The suite for stores, with the store in a folder, on the runtime that runs this file: `<runtime> suite-fixture.mjs
// COUNT`, with so many records in the largest batch. Prints a line for each test.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "../../dist/adapters/storage/folder/lmdb-store.js";
import { storeSuite } from "../../dist/adapters/storage/testing/mod.js";

const tests = storeSuite({
  recordCount: Number(process.argv[2]),
  create: () => ({ folder: mkdtempSync(join(tmpdir(), "sansmq-store-")), crashes: 0, ended: [] }),
  open: async (place) => {
    place.store = await openLmdbStore(join(place.folder, `${place.crashes}`));
    return place.store;
  },
  // A crash leaves the file as it is at that moment. What the store writes afterwards goes to the other file.
  crash: (place) => {
    const before = join(place.folder, `${place.crashes}`);
    const after = join(place.folder, `${++place.crashes}`);
    mkdirSync(after);
    copyFileSync(join(before, "data.mdb"), join(after, "data.mdb"));
    place.ended.push(place.store);
  },
  remove: async ({ folder, ended }) => {
    for (const store of ended) await store.close();
    rmSync(folder, { recursive: true });
  },
});

for (const { name, run } of tests) {
  const outcome = await run().then(
    () => "passes",
    (error) => `fails: ${error?.message ?? error}`,
  );
  console.log(`${outcome}: ${name}`);
}
