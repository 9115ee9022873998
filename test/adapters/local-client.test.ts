import { describe, expect, test } from "vitest";
import type { Subscription } from "../../adapters/local/mod.ts";
import { ClosedError, ConfigError, RefusedError } from "../../adapters/local/mod.ts";
import { startLocal as start, words } from "../support/local.ts";
import { describeOn, runScript } from "../support/runtimes.ts";

async function take(subscription: Subscription, count: number): Promise<string[]> {
  const taken: string[] = [];
  while (taken.length < count) {
    const { done, value } = await subscription.next();
    if (done === true) break;
    taken.push(words(value));
  }
  return taken;
}

describe("a client in the process", () => {
  test.each([0, 1, 2] as const)("publishes and receives at QoS %i, in order", async (qos) => {
    const broker = start();
    const reader = await broker.connect({ clientId: "r" });
    const writer = await broker.connect({ clientId: "w" });
    const subscription = await reader.subscribe("a/#", { qos });
    expect(subscription.granted).toEqual([qos]);
    const expected = Array.from({ length: 300 }, (_, n) => `a/b ${n} q${qos}`);
    const published = expected.map((_, n) => writer.publish("a/b", `${n}`, { qos }));
    expect(await take(subscription, 300)).toEqual(expected);
    for (const { reason } of await Promise.all(published)) expect(reason).toBe(0);
    expect(reader.dropped).toBe(0);
  });

  test("properties arrive as published, and those of CONNACK are available", async () => {
    const broker = start({ responseInformation: "answers/" });
    const client = await broker.connect({ properties: { RequestResponseInformation: 1 } });
    expect(client.clientId).toMatch(/^auto-/);
    expect(client.properties.ResponseInformation).toBe("answers/");
    const subscription = await client.subscribe("a", { subscriptionIdentifier: 7 });
    const properties = {
      PayloadFormatIndicator: 1,
      ContentType: "text/plain",
      ResponseTopic: "answers/1",
      CorrelationData: Uint8Array.of(1, 2),
      UserProperty: [
        ["k", "ä"],
        ["k", "2"],
      ] as const,
    };
    await client.publish("a", Uint8Array.of(), { properties });
    const { value } = await subscription.next();
    expect(value.properties).toEqual({ ...properties, SubscriptionIdentifier: 7 });
    expect(value.payload.length).toBe(0);
  });

  test("carries a large payload both ways", async () => {
    const client = await start({ limits: { packetBytesMax: 1_048_576 } }).connect();
    const subscription = await client.subscribe("big", { qos: 1 });
    const payload = new Uint8Array(1_000_000).fill(0x2e);
    const published = client.publish("big", payload, { qos: 1 });
    const { value } = await subscription.next();
    expect(Buffer.compare(value.payload, payload)).toBe(0);
    await published;
    const longer = client.publish("big", new Uint8Array(2_000_000), { qos: 2 });
    await expect(longer).rejects.toMatchObject({ name: "RefusedError", reason: 0x95 });
    expect(client.isClosed).toBe(false);
  });

  test("receives retained messages as the subscription's Retain Handling says", async () => {
    const broker = start();
    const client = await broker.connect();
    await client.publish("a/1", "kept", { qos: 1, retain: true });
    expect(await take(await client.subscribe("a/+"), 1)).toEqual(["a/1 kept q0 retain"]);
    const published = await client.subscribe("+/1", { retainHandling: 2, retainAsPublished: true });
    await client.publish("a/1", "new", { retain: true });
    expect(await take(published, 1)).toEqual(["a/1 new q0 retain"]);
    // No Local and Retain Handling 2: neither its own messages nor retained messages.
    const others = await client.subscribe("a/#", { noLocal: true, retainHandling: 2 });
    await client.publish("a/1", "own");
    broker.publish("a/1", "other");
    expect(await take(others, 1)).toEqual(["a/1 other q0"]);
  });

  test("overlapping subscriptions each receive a message once, also a subscription to several filters", async () => {
    const client = await start().connect();
    const wide = await client.subscribe("a/#", { qos: 1 });
    const narrow = await client.subscribe(["a/b", "a/+", "a/b"], { qos: 2 });
    expect(narrow.filters).toEqual(["a/b", "a/+"]);
    await client.publish("a/c", "1", { qos: 2 });
    await client.publish("a/b", "2", { qos: 2 });
    expect(await take(wide, 2)).toEqual(["a/c 1 q2", "a/b 2 q2"]);
    expect(await take(narrow, 2)).toEqual(["a/c 1 q2", "a/b 2 q2"]);
    // The first subscription continues after the second has ended.
    await narrow.return();
    await client.publish("a/b", "3", { qos: 1 });
    expect(await take(wide, 1)).toEqual(["a/b 3 q1"]);
  });

  test("two subscriptions to one filter both receive messages until each ends", async () => {
    const broker = start();
    const client = await broker.connect();
    const [one, other] = [await client.subscribe("a"), await client.subscribe("a")];
    await client.publish("a", "1");
    expect([await take(one, 1), await take(other, 1)]).toEqual([["a 1 q0"], ["a 1 q0"]]);
    await one.unsubscribe();
    expect(broker.counters.subscriptions).toBe(1);
    expect(await client.unsubscribe(["a", "never"])).toEqual([0, 0x11]);
    expect(broker.counters.subscriptions).toBe(0);
    expect(await other.next()).toEqual({ done: true, value: undefined });
  });

  test("shared subscriptions share messages, also beside an ordinary subscription of the client", async () => {
    const broker = start();
    const [a, b] = [await broker.connect(), await broker.connect()];
    const got: string[] = [];
    await a.subscribe("$share/g/t", { qos: 1 }, (message) => void got.push(`a ${words(message)}`));
    await b.subscribe("$share/g/t", { qos: 1 }, (message) => void got.push(`b ${words(message)}`));
    const alone: string[] = [];
    await a.subscribe("t", { qos: 1 }, (message) => void alone.push(words(message)));
    for (let n = 0; n < 4; n++) await a.publish("t", `${n}`, { qos: 1 });
    await expect.poll(() => alone).toEqual([0, 1, 2, 3].map((n) => `t ${n} q1`));
    await expect.poll(() => got.length).toBe(4);
    expect(new Set(got.map((text) => text.slice(4))).size).toBe(4);
  });

  test("leaving a loop ends the subscription", async () => {
    const broker = start();
    const client = await broker.connect();
    const subscription = await client.subscribe("a", { qos: 2 });
    for (let n = 0; n < 30; n++) broker.publish("a", `${n}`, { qos: 2 });
    for await (const message of subscription) {
      if (words(message) === "a 2 q2") break;
    }
    expect(broker.counters.subscriptions).toBe(0);
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
    // The waiting messages take no place in the window.
    const other = await client.subscribe("b", { qos: 1 });
    for (let n = 0; n < 30; n++) broker.publish("b", `${n}`, { qos: 1 });
    expect(await take(other, 30)).toHaveLength(30);
  });

  test("an ended subscription can be read to its end", async () => {
    const broker = start();
    const client = await broker.connect();
    const subscription = await client.subscribe("a", { qos: 1 });
    for (let n = 0; n < 3; n++) await client.publish("a", `${n}`, { qos: 1 });
    await subscription.unsubscribe();
    await subscription.unsubscribe();
    await client.publish("a", "late", { qos: 1 });
    expect(await take(subscription, 9)).toEqual(["a 0 q1", "a 1 q1", "a 2 q1"]);
    await client.disconnect();
    expect(broker.counters.clientsConnected).toBe(0);
  });

  test("a function handles one message at a time, and its exception is reported", async () => {
    const broker = start();
    const errors: unknown[] = [];
    broker.on("error", ({ error }) => void errors.push(error));
    const client = await broker.connect();
    const got: string[] = [];
    let atOnce = 0;
    const subscription = await client.subscribe("a", { qos: 1 }, async (message) => {
      expect(++atOnce).toBe(1);
      await Promise.resolve();
      atOnce--;
      got.push(words(message));
      if (got.length === 2) throw new Error("second");
    });
    await client.subscribe("b", (message) => {
      throw new Error(words(message));
    });
    for (let n = 0; n < 50; n++) await client.publish("a", `${n}`, { qos: 1 });
    await client.publish("b", "x");
    await expect.poll(() => got.length).toBe(50);
    await expect.poll(() => errors).toEqual([new Error("second"), new Error("b x q0")]);
    await expect(subscription.next()).rejects.toThrow("go to its handler");
  });
});

describe("a consumer that stalls", () => {
  test("receives as many QoS 1 and 2 messages as its window allows, and the rest later", async () => {
    const broker = start({ limits: { inflightMax: 10 } });
    const client = await broker.connect({ receiveMaximum: 5 });
    const subscription = await client.subscribe("a", { qos: 2 });
    for (let n = 0; n < 40; n++) broker.publish("a", `${n}`, { qos: n % 2 === 0 ? 1 : 2 });
    await client.publish("other", "an acknowledgement, behind what was sent", { qos: 1 });
    expect(broker.counters.publishesSent).toBe(5);
    const got = await take(subscription, 40);
    expect(got).toEqual(Array.from({ length: 40 }, (_, n) => `a ${n} q${(n % 2) + 1}`));
  });

  test("costs a bounded queue of QoS 0 messages, and dropped messages are counted", async () => {
    const broker = start();
    const client = await broker.connect({ queuedMessagesMax: 10 });
    const subscription = await client.subscribe("a");
    const quick: string[] = [];
    await client.subscribe("+", (message) => void quick.push(words(message)));
    for (let n = 0; n < 100; n++) await client.publish("a", `${n}`);
    await expect.poll(() => quick.length).toBe(100);
    expect(subscription.dropped).toBe(90);
    expect(client.dropped).toBe(90);
    expect(await take(subscription, 10)).toHaveLength(10);
    await client.publish("a", "again");
    expect(await take(subscription, 1)).toEqual(["a again q0"]);
    const small = await broker.connect({ queuedBytesMax: 100 });
    const bytes = await small.subscribe("b");
    for (let n = 0; n < 3; n++) await small.publish("b", new Uint8Array(40), { qos: 0 });
    await small.publish("c", "", { qos: 1 });
    expect(bytes.dropped).toBe(1);
  });
});

describe("a refusal", () => {
  test("gives the client the reason", async () => {
    const broker = start({
      users: { ada: "lovelace" },
      authorizePublish: (_, topic) => topic !== "secret",
      authorizeSubscribe: async (_, filter) => filter !== "secret",
    });
    const refused = broker.connect({ clientId: "x", username: "ada", password: "wrong" });
    await expect(refused).rejects.toMatchObject({ packet: "CONNACK", reason: 0x86 });
    await expect(refused).rejects.toBeInstanceOf(RefusedError);
    const client = await broker.connect({ username: "ada", password: "lovelace" });
    for (const [qos, packet] of [
      [1, "PUBACK"],
      [2, "PUBREC"],
    ] as const) {
      const published = client.publish("secret", "x", { qos });
      await expect(published).rejects.toMatchObject({ packet, reason: 0x87 });
    }
    const subscribed = client.subscribe(["open", "secret"]);
    await expect(subscribed).rejects.toMatchObject({ packet: "SUBACK", reason: 0x87 });
    await expect(subscribed).rejects.toThrow("subscribe to secret: not authorized (0x87)");
    expect(broker.counters.subscriptions).toBe(0);
    expect((await client.publish("nobody", "x", { qos: 1 })).reason).toBe(0x10);
  });

  test("by a limit that CONNACK announced sends no packet", async () => {
    const limits = { qosMax: 1, retainAvailable: 0, subscriptionIdAvailable: 0 };
    const client = await start({ limits }).connect();
    await expect(client.publish("a", "", { qos: 2 })).rejects.toMatchObject({ reason: 0x9b });
    await expect(client.publish("a", "", { retain: true })).rejects.toMatchObject({ reason: 0x9a });
    const subscription = await client.subscribe("a/+", { qos: 2 });
    expect(subscription.granted).toEqual([1]);
    await client.publish("a/b", "x", { qos: 1 });
    expect(await take(subscription, 1)).toEqual(["a/b x q1"]);
  });

  test("of an invalid request leaves the client connected", async () => {
    const broker = start();
    const client = await broker.connect();
    const wrong: (() => Promise<unknown>)[] = [
      () => broker.connect({ keepAliveSeconds: 70_000 }),
      () => broker.connect({ clientId: "x".repeat(70_000) }),
      () => broker.connect({ will: { topic: "a", qos: 3 as never } }),
      () => broker.connect({ properties: { TopicAlias: 1 } as never }),
      () => client.publish("a/+", ""),
      () => client.publish("", ""),
      () => client.publish("a", 5 as never),
      () => client.publish("a", "", { qos: 3 as never }),
      () => client.publish("a", "", { properties: { Nonsense: 1 } as never }),
      () => client.publish("a", "", { properties: { PayloadFormatIndicator: 2 } }),
      () => client.publish("a", "", { properties: { UserProperty: [["a"]] as never } }),
      () => client.subscribe([]),
      () => client.subscribe("a/#/b"),
      () => client.subscribe("$share/g"),
      () => client.subscribe("$share/g/a", { noLocal: true }),
      () => client.subscribe("a", { subscriptionIdentifier: 0 }),
      () => client.disconnect({ properties: { SessionExpiryInterval: 10 } }),
    ];
    for (const ask of wrong) await expect(ask()).rejects.toBeInstanceOf(ConfigError);
    expect((await client.publish("a", "", { qos: 1 })).reason).toBe(0x10);
  });
});

describe("the end of a connection", () => {
  test("by the client: later requests fail, and loops end", async () => {
    const client = await start().connect();
    const subscription = await client.subscribe("a");
    const waiting = subscription.next();
    await Promise.all([client.disconnect(), client.disconnect()]);
    await client.disconnect();
    await client.abort();
    expect(await client.closed).toEqual({ by: "client", reason: 0, properties: {} });
    expect(await waiting).toEqual({ done: true, value: undefined });
    await expect(client.publish("a", "")).rejects.toBeInstanceOf(ClosedError);
    await expect(client.subscribe("a")).rejects.toBeInstanceOf(ClosedError);
    await expect(client.unsubscribe("a")).rejects.toBeInstanceOf(ClosedError);
    await subscription.unsubscribe();
    expect(await subscription.return()).toEqual({ done: true, value: undefined });
  });

  test("by the broker: a waiting loop throws, but ends if the broker closes", async () => {
    const broker = start();
    const [kicked, other] = [await broker.connect({ clientId: "k" }), await broker.connect()];
    const loops = [await kicked.subscribe("a"), await other.subscribe("a")];
    const [lost, done] = loops.map((loop) => loop.next());
    const told = expect(lost).rejects.toMatchObject({ name: "ClosedError", reason: 0x98 });
    broker.disconnect("k");
    await told;
    expect(await kicked.closed).toMatchObject({ by: "broker", reason: 0x98 });
    expect(await loops[0]!.next()).toEqual({ done: true, value: undefined });
    await broker.close(500);
    expect(await done).toEqual({ done: true, value: undefined });
    expect(await other.closed).toMatchObject({ by: "broker", reason: 0x8b });
    await expect(broker.connect()).rejects.toBeInstanceOf(ClosedError);
  });

  test("cut off: the will is published; and with 0x04 too, but not in order", async () => {
    const broker = start();
    const watcher = await (await broker.connect()).subscribe("gone/#", { qos: 1 });
    for (const clientId of ["cut", "left", "told"]) {
      const will = { topic: `gone/${clientId}`, payload: "x", qos: 1 } as const;
      const client = await broker.connect({ clientId, will });
      if (clientId === "cut") await client.abort();
      else await client.disconnect({ reason: clientId === "told" ? 0x04 : 0 });
    }
    expect(await take(watcher, 2)).toEqual(["gone/cut x q1", "gone/told x q1"]);
  });

  test("a session of the same name takes it over", async () => {
    const broker = start();
    const options = { clientId: "c", sessionExpirySeconds: 60 };
    const first = await broker.connect(options);
    const loop = await first.subscribe("a", { qos: 2 });
    broker.publish("a", "1", { qos: 2 });
    const second = await broker.connect({ ...options, cleanStart: false });
    expect(second.sessionPresent).toBe(true);
    expect(await first.closed).toMatchObject({ by: "broker", reason: 0x8e });
    await expect(loop.next()).rejects.toMatchObject({ reason: 0x8e });
    const again = await second.subscribe("a", { qos: 2 });
    expect(await take(again, 1)).toEqual(["a 1 q2"]);
  });
});

describe("a session that is resumed", () => {
  const options = { clientId: "c", sessionExpirySeconds: 60 };

  test("receives the messages queued meanwhile, by a subscription or by onMessage", async () => {
    const broker = start();
    const first = await broker.connect(options);
    await first.subscribe(["a/+", "b"], { qos: 2 });
    await first.disconnect();
    for (let n = 0; n < 30; n++) broker.publish(n % 2 === 0 ? "a/x" : "b", `${n}`, { qos: 2 });
    const second = await broker.connect({ ...options, cleanStart: false });
    const evens = await second.subscribe("a/+", { qos: 2 });
    const odds: string[] = [];
    second.onMessage((message) => void odds.push(words(message)));
    const even = (n: number): string => `a/x ${2 * n} q2`;
    expect(await take(evens, 15)).toEqual(Array.from({ length: 15 }, (_, n) => even(n)));
    await expect.poll(() => odds.length).toBe(15);
    expect(new Set(odds).size).toBe(15);
    await second.disconnect({ properties: { SessionExpiryInterval: 0 } });
    const third = await broker.connect({ ...options, cleanStart: false });
    expect(third.sessionPresent).toBe(false);
  });

  test("receives again the messages that a loop had not taken, and no others", async () => {
    const broker = start();
    const first = await broker.connect(options);
    const loop = await first.subscribe("a", { qos: 2 });
    for (let n = 0; n < 5; n++) await first.publish("a", `${n}`, { qos: 2 });
    expect(await take(loop, 2)).toEqual(["a 0 q2", "a 1 q2"]);
    await first.abort();
    expect(await take(loop, 9)).toEqual([]);
    const second = await broker.connect({ ...options, cleanStart: false });
    const again = await second.subscribe("a", { qos: 2 });
    expect(await take(again, 3)).toEqual(["a 2 q2", "a 3 q2", "a 4 q2"]);
  });
});

describeOn(["Node 20", "Bun", "Deno"], (runtime) => {
  test.each([[], ["bare"]])(
    "clients of the same process work %s",
    async (...args) => {
      const script = new URL("local-fixture.mjs", import.meta.url);
      expect(JSON.parse(await runScript(runtime, script, ...args))).toEqual({
        reasons: [0, 0, 0],
        topics: ["a/0 100000 q0", "a/1 100000 q1", "a/2 100000 q2"],
        clientsConnected: 0,
        reason: 0x8d,
      });
    },
    60_000,
  );
});
