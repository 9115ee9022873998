/** What a policy asks of the broker that is asking it: done once the broker has its answer, in order. */
import { expect, onTestFinished, test } from "vitest";
import type { LocalMessage } from "../../adapters/local/mod.ts";
import { createLocalBroker, type LocalBroker } from "../../adapters/local/mod.ts";
import { recorder } from "../../adapters/record/mod.ts";
import { Recording } from "../support/recording.ts";

type Options = Parameters<typeof createLocalBroker>[0];

/** A broker that is recorded, and replayed when the test is over. */
function start(options: Options): LocalBroker {
  const recording = new Recording();
  const broker = createLocalBroker({
    allowAnonymous: true,
    ...options,
    record: recorder(recording),
  });
  broker.on("error", ({ error }) => expect(error).toBe(null));
  onTestFinished(async () => {
    await broker.close(100);
    expect(recording.replays().end?.cause).toBe("closed");
  });
  return broker;
}

const words = ({ topic, payload }: LocalMessage): string =>
  `${topic} ${new TextDecoder().decode(payload)}`;

test("a policy publishes what it is asked", async () => {
  const said = new TextEncoder().encode("?");
  const broker: LocalBroker = start({
    authenticate: ({ clientId }) => {
      broker.publish("log/connect", clientId);
      return true;
    },
    authorizeSubscribe: (_, filter) => {
      broker.publish("log/subscribe", filter);
      return true;
    },
    authorizePublish: (_, topic) => {
      // One buffer for all: what was said is what stood there then.
      said[0] = topic.charCodeAt(0);
      const properties = { CorrelationData: said };
      for (const qos of [0, 1] as const) broker.publish("log/publish", said, { qos, properties });
      return true;
    },
  });
  const got: string[] = [];
  const watcher = await broker.connect({ clientId: "w" });
  await watcher.subscribe("log/#", { qos: 2 }, (message) => {
    const { CorrelationData: data } = message.properties;
    got.push(`${words(message)}${data === undefined ? "" : new TextDecoder().decode(data)}`);
  });
  const client = await broker.connect({ clientId: "c" });
  const loop = await client.subscribe("+", { qos: 1 });
  for (const topic of ["a", "b"]) void client.publish(topic, topic, { qos: 1 });
  expect([(await loop.next()).value, (await loop.next()).value].map(words)).toEqual(["a a", "b b"]);
  await expect
    .poll(() => got)
    .toEqual([
      ...["log/subscribe log/#", "log/connect c", "log/subscribe +"],
      ...["log/publish aa", "log/publish aa", "log/publish bb", "log/publish bb"],
    ]);
});

test("a policy disconnects, connects and closes", async () => {
  let other: Promise<unknown> | null = null;
  let closed: Promise<void> | null = null;
  const broker: LocalBroker = start({
    authorizePublish: ({ clientId }, topic) => {
      if (topic === "kick") broker.disconnect(clientId);
      if (topic === "connect") other = broker.connect({ clientId: "other" });
      if (topic === "close") closed = broker.close();
      return true;
    },
  });
  const [one, two] = [await broker.connect({ clientId: "1" }), await broker.connect()];
  await two.publish("connect", "", { qos: 1 });
  expect(await other).toMatchObject({ clientId: "other" });
  void one.publish("kick", "");
  expect(await one.closed).toMatchObject({ by: "broker", reason: 0x98 });
  void two.publish("close", "");
  expect(await two.closed).toMatchObject({ by: "broker", reason: 0x8b });
  await closed;
  expect(broker.counters.clientsConnected).toBe(0);
});

test("what is asked after that comes after it", async () => {
  const broker: LocalBroker = start({
    authorizePublish: (_, topic) => {
      if (topic === "t") broker.publish("log", "1");
      return true;
    },
  });
  const client = await broker.connect();
  const loop = await client.subscribe("log");
  void client.publish("t", "").then(() => broker.publish("log", "2"));
  expect([(await loop.next()).value, (await loop.next()).value].map(words)).toEqual([
    "log 1",
    "log 2",
  ]);
});
