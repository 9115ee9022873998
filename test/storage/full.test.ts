// A disk that takes no more: the command acknowledges nothing that it could not store, tells its clients,
// and exits with 1. With room again it has everything that it acknowledged.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { connect, publish, subscribe } from "../support/packets.ts";
import { command, type Running, run, runSansmq } from "../support/process.ts";
import { openSocket } from "../support/socket-client.ts";

test("a full disk ends the command with 1, and loses nothing that was acknowledged", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-full-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const flags = ["--port", "0", "--no-ws", "--store", folder];
  // In blocks of 1024 bytes. The system fails a write beyond it, as a full disk does.
  const limited = `ulimit -f 400; exec "$0" "$@"`;
  const broker = run("bash", "-c", limited, process.execPath, command, ...flags);
  const address = async (of: Running): Promise<string> =>
    (await of.says(/^sansmq listening (tcp:\S+).*\n/))[1]!;
  const reader = await openSocket(await address(broker));
  reader.send(connect({ clientId: "reader", clean: false }));
  reader.send(subscribe(1, ["t", 1]));
  await reader.takes(2);
  reader.destroy();
  const writer = await openSocket(await address(broker));
  writer.send(connect({ clientId: "writer" }));
  await writer.takes(1);
  let acknowledged = 0;
  for (let id = 1; id <= 1000 && !writer.isClosed; id++) {
    writer.send(publish("t", `${id} ${"x".repeat(10_000)}`, { qos: 1, id }));
    const [reply] = await writer.takes(1).catch(() => [null]);
    if (reply === null) break;
    expect(reply).toBe(`PUBACK #${id}`);
    acknowledged = id;
  }
  const { code, stderr } = await broker.finished;
  expect([code, acknowledged > 5, acknowledged < 1000]).toEqual([1, true, true]);
  expect(stderr).toMatch(/"message":"the store failed"/);

  const again = runSansmq(...flags);
  // The one message whose commit failed may be there too: a failed write is not known to be undone.
  const [, queued] = await again.says(/"message":"recovered".*"queueRecords":(\d+)/);
  expect(Number(queued) - acknowledged).toBeOneOf([0, 1]);
  const resumed = await openSocket(await address(again));
  resumed.send(connect({ clientId: "reader", clean: false }));
  expect(await resumed.takes(1)).toEqual(["CONNACK present=1 code=0"]);
});
