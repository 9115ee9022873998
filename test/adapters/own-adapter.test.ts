/** The adapter of docs/embedding.md does what those that ship do. */
import * as core from "sansmq/core";
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
