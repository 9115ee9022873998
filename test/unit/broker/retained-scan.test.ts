/** The retained messages that a new subscription is sent, at the pace at which its client takes them. */
import { expect, test } from "vitest";
import { TestBroker } from "../../support/broker.ts";
import { idIn, mqtt5, pingreq, puback, unsubscribe } from "../../support/packets.ts";

function retaining(topics: Record<string, string>, options = {}) {
  const world = new TestBroker(options);
  const publisher = world.connected("p");
  for (const [topic, payload] of Object.entries(topics)) {
    publisher.publishes(topic, payload, { retain: true, qos: 1 });
  }
  publisher.takes();
  return { world, publisher };
}

test("retained messages for a wildcard are paced by the subscriber's window, and none is missed", () => {
  const world = new TestBroker({ limits: { inflightMax: 5, queuedMessagesMax: 10 } });
  const publisher = world.connected("p");
  for (let n = 0; n < 1000; n++) publisher.publishes(`r/${n}`, `${n}`, { retain: true, qos: 1 });
  const client = world.connected("s").subscribes(1, ["r/#", 1]);
  const got = new Set<string>();
  let lines = client.takes().slice(1);
  expect(lines).toHaveLength(5);
  while (lines.length > 0) {
    expect(world.count("queued")).toBe(0); // retained messages are not queued in advance
    for (const line of lines) {
      got.add(line.split(" ")[1]!);
      client.send(puback(idIn(line)));
    }
    lines = client.takes();
  }
  expect(got.size).toBe(1000);
  expect(world.count("droppedQueueFull")).toBe(0);
});

test("retained messages at QoS 0 wait for a slow subscriber", () => {
  const world = new TestBroker({ limits: { outputBytesMax: 2000 } });
  const publisher = world.connected("p");
  for (let n = 0; n < 500; n++) publisher.publishes(`r/${n}`, "x".repeat(50), { retain: true });
  const client = world.connected("s");
  client.writable(false);
  client.subscribes(1, ["r/#", 0]);
  expect(client.takes()).toEqual([]);
  client.writable(true);
  expect(client.takes()).toHaveLength(501);
  expect(world.count("droppedSlowReader")).toBe(0);
});

test("a message retained during a retained scan is not sent twice", () => {
  const { world, publisher } = retaining(
    { "r/1": "1", "r/2": "2", "r/3": "3" },
    {
      limits: { inflightMax: 1 },
    },
  );
  const client = world.connected("s").subscribes(1, ["r/#", 1]);
  const first = client.takes()[1]!;
  publisher.publishes("r/3", "new", { retain: true, qos: 1 });
  publisher.publishes("r/4", "new", { retain: true, qos: 1 });
  const rest: string[] = [];
  for (let id = 1; id <= 6; id++) {
    client.send(puback(id));
    rest.push(...client.takes());
  }
  expect(first).toBe('PUBLISH r/1 "1" q1 #1 retain');
  expect(rest.map((line) => line.replace(/ #\d/, "")).sort()).toEqual([
    'PUBLISH r/2 "2" q1 retain',
    'PUBLISH r/3 "new" q1',
    'PUBLISH r/4 "new" q1',
  ]);
});

test("a retained scan continues after a reconnect, and ends with its subscription", () => {
  const { world } = retaining(
    { "r/1": "1", "r/2": "2", "r/3": "3" },
    { limits: { inflightMax: 1 } },
  );
  const fields = { clientId: "s", clean: false } as const;
  const client = world.connected(fields).subscribes(1, ["r/#", 1]);
  expect(client.takes()).toHaveLength(2);
  client.cut();
  const back = world.connected(fields);
  expect(back.takes()).toEqual(['PUBLISH r/1 "1" q1 #1 retain dup']);
  back.send(puback(1));
  expect(back.takes()).toEqual(['PUBLISH r/2 "2" q1 #2 retain']);
  back.send(unsubscribe(2, "r/#"), puback(2));
  expect(back.takes()).toEqual(["UNSUBACK #2"]);
});

test("a filter that matches few of many retained messages delays no other client", () => {
  const world = new TestBroker();
  const publisher = world.connected("p");
  for (let n = 0; n < 20_000; n++) publisher.publishes(`r/${n}/v`, "x", { retain: true });
  publisher.publishes("r/last/w", "here", { retain: true });
  const [searcher, other] = [world.connected("s"), world.connected("o")];
  searcher.subscribes(1, ["+/+/none", 0], ["+/+/w", 0]);
  // One drain, during which no time passes, does not scan all names.
  expect(searcher.takes()).toEqual(["SUBACK #1 0 0"]);
  expect(other.send(pingreq).takes()).toEqual(["PINGRESP"]);
  // The rest of the scan is due at once.
  expect(world.broker.pollTimeout()).toBe(world.now);
  world.advance(0);
  expect(searcher.takes()).toEqual(['PUBLISH r/last/w "here" q0 retain']);
  expect(world.broker.pollTimeout()).toBeGreaterThan(world.now);
});

test("[MQTT-3.8.4-3] a replaced subscription still receives the retained messages that were pending", () => {
  const names = ["r/1", "r/2", "r/3", "r/4"];
  const { world } = retaining(Object.fromEntries(names.map((name) => [name, "x"])), {
    limits: { inflightMax: 1 },
  });
  const client = world.connected({ level: 5 });
  const asks = (options: number, id: number): Uint8Array =>
    mqtt5.subscribe(1, ["r/#", options], { SubscriptionIdentifier: id });
  const NOT_SENT = 2 << 4;
  client.send(asks(1, 1), asks(1 | NOT_SENT, 2), asks(1, 3), asks(1 | NOT_SENT, 4));
  const received: string[] = [];
  for (let id = 1; id <= 9; id++) {
    received.push(...client.takes().filter((line) => line.startsWith("PUBLISH")));
    client.send(puback(id));
  }
  // All retained messages for each subscription that requested them, one subscription after the other.
  const expected = [1, 3].flatMap((id) => names.map((name) => ({ name, id })));
  expect(received).toEqual(
    expected.map(
      ({ name, id }, n) => `PUBLISH ${name} "x" q1 #${n + 1} retain SubscriptionIdentifier=${id}`,
    ),
  );
});

test("a client that repeats a subscription receives the retained messages of the last eight repetitions", () => {
  const { world } = retaining({ "r/1": "x", "r/2": "x" });
  const client = world.connected({ level: 5 });
  client.writable(false);
  for (let id = 1; id <= 1000; id++) {
    client.subscribes(1, ["r/#", 0], { SubscriptionIdentifier: id });
  }
  client.writable(true);
  const publishes = client.takes().filter((line) => line.startsWith("PUBLISH"));
  expect(publishes.map((line) => Number(/ SubscriptionIdentifier=(\d+)$/.exec(line)![1]))).toEqual(
    Array.from({ length: 8 }, (_, n) => [993 + n, 993 + n]).flat(),
  );
});
