import { expect, onTestFinished, test } from "vitest";
import { createLocalBroker } from "../../adapters/local/mod.ts";
import { type BrokerEvents, Reason } from "../../adapters/mod.ts";

test("reports refusals of clients to the program", async () => {
  const broker = createLocalBroker({ authorizePublish: (_, topic) => topic !== "no" });
  onTestFinished(() => broker.close(100));
  const heard = new Promise<BrokerEvents["denied"]>((resolve) => broker.on("denied", resolve));
  const client = await broker.connect({ clientId: "c" });
  await client.publish("yes", "x", { qos: 1 });
  await client.publish("no", "x", { qos: 1 }).catch(() => {});
  const reason = Reason.NotAuthorized;
  expect(await heard).toMatchObject({ clientId: "c", action: "publish", topic: "no", reason });
});

test("reports the end of every connection before close resolves", async () => {
  const broker = createLocalBroker();
  const heard: string[] = [];
  broker.on("disconnected", ({ clientId }) => heard.push(clientId));
  const clients = [
    await broker.connect({ clientId: "a" }),
    await broker.connect({ clientId: "b" }),
  ];
  await Promise.all(clients.map((client) => client.disconnect()));
  await broker.close();
  expect(heard).toEqual(["a", "b"]);
});
