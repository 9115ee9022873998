import { expect, onTestFinished, test } from "vitest";
import { cases } from "../conformance/cases.ts";
import { limits, user } from "../conformance/memory-target.ts";
import { networkTarget } from "../conformance/network-target.ts";
import { runCases } from "../conformance/runner.ts";
import { codecKind } from "../support/codecs.ts";
import { describeOn, spawnBroker } from "../support/runtimes.ts";
import { endpointSuite } from "./endpoint-suite.ts";
import { messagesSuite } from "./messages-suite.ts";
import { serverSuite, type Target, transportSuite } from "./suite.ts";

describeOn(["Bun", "Deno"], (runtime) => {
  const target: Target = {
    start: (given = {}) => spawnBroker(runtime, { limits: given, codec: codecKind }),
  };
  transportSuite(target);
  serverSuite(target);
  messagesSuite(target);
  endpointSuite((options) => spawnBroker(runtime, { watch: true, codec: codecKind, ...options }));

  test.each(["tcp", "ws"] as const)(
    "every case of conformance passes over %s",
    async (transport) => {
      const broker = await spawnBroker(runtime, {
        codec: codecKind,
        users: { [user.name]: user.password },
        allowAnonymous: true,
        responseInformation: "answers/",
        limits,
      });
      onTestFinished(() => broker.stop());
      const url = broker.addresses[transport].replace(/^tcp/, "mqtt");
      const results = await runCases(networkTarget({ url, user }), { cases, atOnce: 64 });
      expect(results.filter(({ verdict }) => verdict !== "passed")).toEqual([]);
    },
    120_000,
  );
});
