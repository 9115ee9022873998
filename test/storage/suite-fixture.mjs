// The suite for stores, with the store in a folder, on the runtime that runs this file: `<runtime> suite-fixture.mjs
// COUNT [LOG]`, with so many records in the largest batch, and at most so many bytes in the log. Prints a line for each test.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "../../dist/adapters/storage/folder/lmdb-store.js";
import { storeSuite } from "../../dist/adapters/storage/testing/mod.js";

const [, , count, logBytesMax] = process.argv;

const tests = storeSuite({
  recordCount: Number(count),
  create: () => ({ folder: mkdtempSync(join(tmpdir(), "sansmq-store-")), crashes: 0, ended: [] }),
  open: async (place) => {
    const folder = join(place.folder, `${place.crashes}`);
    place.store = await openLmdbStore(folder, logBytesMax && Number(logBytesMax));
    return place.store;
  },
  // A crash leaves the files as they are at that moment. What the store writes afterwards goes to the other ones.
  crash: (place) => {
    const before = join(place.folder, `${place.crashes}`);
    const after = join(place.folder, `${++place.crashes}`);
    mkdirSync(after);
    for (const file of ["data.mdb", "journal.log"]) {
      copyFileSync(join(before, file), join(after, file));
    }
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
