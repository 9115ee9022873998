/** The adapter of docs/embedding.md passes the tests of the published adapters. */
import * as core from "sansmq/core";
import { expect, test } from "vitest";
import { OwnAdapter, serveOwn } from "./own-adapter.ts";
import { transportSuite } from "./suite.ts";

transportSuite({
  async start(limits = {}) {
    const adapter = new OwnAdapter(limits);
    const { tcp, ws, port } = await serveOwn(adapter);
    return {
      addresses: { tcp: `tcp://127.0.0.1:${port(tcp)}`, ws: `ws://127.0.0.1:${port(ws)}/mqtt` },
      counters: () =>
        Object.fromEntries(
          core.counterNames.map((name) => [name, adapter.broker.counters[core.Counter[name]]!]),
        ),
      stop: async () => {
        tcp.close();
        ws.close();
        await adapter.stop();
      },
    };
  },
});

test("keeps no process alive after its end", async () => {
  const timers = (): number =>
    process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
  const timersLeft = async (): Promise<number> => {
    const before = timers();
    const adapter = new OwnAdapter();
    await adapter.stop();
    // The turn that the stop scheduled.
    for (let n = 0; n < 3; n++) await new Promise((resolve) => setImmediate(resolve));
    return timers() - before;
  };
  // Again if a timer of the test framework ended meanwhile. A timer of the adapter would be left each time.
  await expect.poll(timersLeft).toBe(0);
});
