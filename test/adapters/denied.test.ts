import { expect, onTestFinished, test } from "vitest";
import { createLocalBroker } from "../../adapters/local/mod.ts";
import { Reason } from "../../adapters/mod.ts";

test("a program hears what its clients are refused", async () => {
  const broker = createLocalBroker({ authorizePublish: (_, topic) => topic !== "no" });
  onTestFinished(() => broker.close(100));
  const heard: unknown[] = [];
  broker.on("denied", (event) => heard.push(event));
  const client = await broker.connect({ clientId: "c" });
  await client.publish("yes", "x", { qos: 1 });
  await client.publish("no", "x", { qos: 1 }).catch(() => {});
  const reason = Reason.NotAuthorized;
  expect(heard).toMatchObject([
    { kind: "denied", clientId: "c", action: "publish", topic: "no", reason },
  ]);
});
