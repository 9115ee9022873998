// `node --test docs/examples/store/node.test.mjs`: the suite for stores, with node:test.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { storeSuite } from "sansmq/storage/testing";
import { openLogStore } from "./log-store.mjs";

const tests = storeSuite({
  create: () => mkdtemp(join(tmpdir(), "log-store-")),
  open: (folder) => openLogStore(join(folder, "log")),
  remove: (folder) => rm(folder, { recursive: true }),
});

for (const { name, run } of tests) test(name, run);
