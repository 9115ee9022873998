// Input that waited for the broker's own replies goes on although no further input arrives.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createBroker } from "../../adapters/node/mod.ts";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import { concat, connect, publish } from "../support/packets.ts";
import { openSocket } from "../support/socket-client.ts";

test("a 3.1.1 client with more messages than receiveMax gets every PUBREC, one commit after another", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-store-"));
  const store = await openLmdbStore(folder);
  const broker = await createBroker({ tcp: { port: 0 }, store, limits: { receiveMax: 1 } });
  onTestFinished(async () => {
    await broker.close(100);
    rmSync(folder, { recursive: true, force: true });
  });
  const client = await openSocket(broker.addresses[0]!);
  client.send(connect({ clientId: "c", clean: false }));
  await client.takes(1);
  const ids = Array.from({ length: 20 }, (_, index) => index + 1);
  client.send(concat(...ids.map((id) => publish("t", "x", { qos: 2, id }))));
  expect(await client.takes(20)).toEqual(ids.map((id) => `PUBREC #${id}`));
});
