// `npx vitest run --root docs/examples/store`: the suite for stores, with Vitest. A crash is a copy of the file.
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeSuite } from "sansmq/storage/testing";
import { test } from "vitest";
import { openLogStore } from "./log-store.mjs";

const tests = storeSuite({
  recordCount: 10_000,
  create: async () => ({ folder: await mkdtemp(join(tmpdir(), "log-store-")), crashes: 0 }),
  open: ({ folder, crashes }) => openLogStore(join(folder, `log${crashes}`)),
  // From now on the store is what the file had at this moment. What the old one still writes is lost.
  crash: (place) => {
    const { folder, crashes } = place;
    place.crashes++;
    return copyFile(join(folder, `log${crashes}`), join(folder, `log${crashes + 1}`));
  },
  remove: ({ folder }) => rm(folder, { recursive: true }),
});

for (const { name, run } of tests) test(name, run);
