import { expect, onTestFinished, test } from "vitest";
import { createBroker } from "../../adapters/node/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { cases } from "./cases.ts";
import { limits, user } from "./memory-target.ts";
import { networkTarget } from "./network-target.ts";
import { runCases } from "./runner.ts";

test.each(["tcp", "ws"] as const)(
  "every case passes over %s",
  async (transport) => {
    const broker = await createBroker({
      codec: codecKind,
      tcp: transport === "tcp" ? { port: 0 } : false,
      ws: transport === "ws" ? { port: 0 } : false,
      users: { [user.name]: user.password },
      allowAnonymous: true,
      responseInformation: "answers/",
      limits,
    });
    onTestFinished(() => broker.close(100));
    const url = broker.addresses[0]!.replace(/^tcp/, "mqtt");
    const results = await runCases(networkTarget({ url, user }), { cases, atOnce: 64 });
    expect(results.filter(({ verdict }) => verdict !== "passed")).toEqual([]);
    expect(results).toHaveLength(cases.length);
  },
  120_000,
);
