import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { describe, expect, onTestFinished, test } from "vitest";
import type { BrokerOptions } from "../../adapters/node/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { startRecorded } from "../support/recording.ts";

async function start(options: BrokerOptions = {}) {
  const broker = await startRecorded({
    codec: codecKind,
    tcp: { port: 0 },
    ws: { port: 0 },
    ...options,
  });
  const [tcp, ws] = broker.addresses as [string, string];
  return { broker, tcp, ws };
}

async function client(address: string, options: IClientOptions = {}): Promise<MqttClient> {
  const connected = await mqtt.connectAsync(address, { reconnectPeriod: 0, ...options });
  onTestFinished(() => void connected.end(true));
  return connected;
}

/** The next `count` messages, as `topic payload qos` and whether RETAIN is set. */
function messages(from: MqttClient, count: number): Promise<string[]> {
  const got: string[] = [];
  return new Promise((resolve) => {
    from.on("message", (topic, payload, { qos, retain }) => {
      got.push(`${topic} ${payload.toString()} ${qos}${retain ? " retained" : ""}`);
      if (got.length === count) resolve(got);
    });
  });
}

const protocols = [
  { protocolId: "MQIsdp", protocolVersion: 3 },
  { protocolId: "MQTT", protocolVersion: 4 },
  { protocolId: "MQTT", protocolVersion: 5 },
] as const;

describe.each(["tcp", "ws"] as const)("MQTT.js over %s", (transport) => {
  describe.each(protocols)("with $protocolId $protocolVersion", (protocol) => {
    test("publishes and receives at every QoS", async () => {
      const broker = await start();
      const c = await client(broker[transport], protocol);
      for (const published of [0, 1, 2] as const) {
        for (const granted of [0, 1, 2] as const) {
          const topic = `q/${published}/${granted}`;
          await c.subscribeAsync(topic, { qos: granted });
          const next = messages(c, 1);
          await c.publishAsync(topic, "x", { qos: published });
          expect(await next).toEqual([`${topic} x ${Math.min(published, granted)}`]);
          c.removeAllListeners("message");
          await c.unsubscribeAsync(topic);
        }
      }
    });

    test("sets, receives and clears retained messages", async () => {
      const broker = await start({ limits: { sysMillis: 0 } });
      const c = await client(broker[transport], protocol);
      await c.publishAsync("r/1", "kept", { qos: 1, retain: true });
      const next = messages(c, 1);
      await c.subscribeAsync("r/#", { qos: 1 });
      expect(await next).toEqual(["r/1 kept 1 retained"]);
      await c.publishAsync("r/1", "", { qos: 1, retain: true });
      expect(broker.broker.counters.retainedMessages).toBe(0);
    });

    test("publishes the will of a client whose connection breaks", async () => {
      const broker = await start();
      const watcher = await client(broker[transport], protocol);
      await watcher.subscribeAsync("will");
      const next = messages(watcher, 1);
      const will = { topic: "will", payload: Buffer.from("gone"), qos: 0, retain: false } as const;
      const mortal = await client(broker[transport], { ...protocol, will });
      mortal.stream.destroy();
      expect(await next).toEqual(["will gone 0"]);
    });

    test("receives the messages queued while its kept session was offline", async () => {
      const broker = await start();
      const properties = { sessionExpiryInterval: 100 };
      const expiry = protocol.protocolVersion === 5 ? { properties } : {};
      const kept = { ...protocol, ...expiry, clientId: "keeper", clean: false };
      const first = await client(broker[transport], kept);
      await first.subscribeAsync("off", { qos: 2 });
      await first.endAsync();
      const publisher = await client(broker[transport], protocol);
      for (const n of [1, 2, 3]) await publisher.publishAsync("off", `${n}`, { qos: 2 });
      const second = mqtt.connect(broker[transport], { ...kept, reconnectPeriod: 0 });
      onTestFinished(() => void second.end(true));
      expect(await messages(second, 3)).toEqual(["off 1 2", "off 2 2", "off 3 2"]);
    });
  });

  test("receives thousands of QoS 2 messages exactly once", async () => {
    const broker = await start();
    const c = await client(broker[transport]);
    await c.subscribeAsync("many", { qos: 2 });
    const all = messages(c, 3000);
    await Promise.all(
      Array.from({ length: 3000 }, (_, n) => c.publishAsync("many", `${n}`, { qos: 2 })),
    );
    expect(await all).toEqual(Array.from({ length: 3000 }, (_, n) => `many ${n} 2`));
  });

  test("reports a denied subscription", async () => {
    const { [transport]: address } = await start({
      authorizeSubscribe: (_, filter) => filter !== "no",
    });
    const c = await client(address);
    await expect(c.subscribeAsync("no")).rejects.toThrow();
    await c.subscribeAsync("yes");
  });

  test("carries a large payload both ways", async () => {
    const broker = await start();
    const c = await client(broker[transport]);
    await c.subscribeAsync("big");
    const next = new Promise<Buffer>((resolve) =>
      c.on("message", (_, payload) => resolve(payload)),
    );
    const payload = Buffer.alloc(900_000, "abc");
    await c.publishAsync("big", payload);
    expect((await next).equals(payload)).toBe(true);
  });
});

describe.each(["tcp", "ws"] as const)("MQTT.js with 5.0 over %s", (transport) => {
  const mqtt5 = { protocolVersion: 5 } as const;

  test("receives message properties, a Subscription Identifier and topic aliases", async () => {
    const broker = await start();
    const reader = await client(broker[transport], {
      ...mqtt5,
      properties: { topicAliasMaximum: 10 },
    });
    await reader.subscribeAsync("p/#", { qos: 1, properties: { subscriptionIdentifier: 77 } });
    const writer = await client(broker[transport], { ...mqtt5, autoAssignTopicAlias: true });
    const got: { topic: string; payload: string; properties: object }[] = [];
    const all = new Promise<void>((resolve) => {
      reader.on("message", (topic, payload, { properties }) => {
        got.push({ topic, payload: payload.toString(), properties: properties ?? {} });
        if (got.length === 5) resolve();
      });
    });
    const properties = {
      contentType: "text/plain",
      responseTopic: "r",
      correlationData: Buffer.from([1, 2]),
      userProperties: { a: ["1", "2"] },
      messageExpiryInterval: 60,
      payloadFormatIndicator: true,
    };
    for (let n = 0; n < 5; n++) {
      await writer.publishAsync("p/with/a/long/name", `${n}`, { qos: 1, properties });
    }
    await all;
    for (const [n, { topic, payload, properties: found }] of got.entries()) {
      expect([topic, payload]).toEqual(["p/with/a/long/name", `${n}`]);
      expect(found).toMatchObject({
        contentType: "text/plain",
        responseTopic: "r",
        messageExpiryInterval: 60,
        subscriptionIdentifier: 77,
        userProperties: { a: ["1", "2"] },
      });
    }
  });

  test("uses No Local, Retain As Published and Retain Handling", async () => {
    const broker = await start();
    const c = await client(broker[transport], mqtt5);
    const other = await client(broker[transport], mqtt5);
    await c.publishAsync("r", "kept", { retain: true, qos: 1 });
    await c.subscribeAsync("r", { qos: 0, nl: true, rap: true, rh: 2 });
    const next = messages(c, 1);
    await c.publishAsync("r", "mine", { retain: true, qos: 1 });
    await other.publishAsync("r", "yours", { retain: true, qos: 1 });
    expect(await next).toEqual(["r yours 0 retained"]);
  });

  test("reports a takeover, the expiry of a session, and an assigned client identifier", async () => {
    const broker = await start();
    const options = { ...mqtt5, clientId: "one", clean: false } as const;
    const first = await client(broker[transport], {
      ...options,
      properties: { sessionExpiryInterval: 100 },
    });
    await first.subscribeAsync("t", { qos: 1 });
    const told = new Promise((resolve) =>
      first.on("disconnect", ({ reasonCode }) => resolve(reasonCode)),
    );
    const second = await client(broker[transport], {
      ...options,
      properties: { sessionExpiryInterval: 100 },
    });
    expect(await told).toBe(0x8e);
    const next = messages(second, 1);
    const nobody = await client(broker[transport], { ...mqtt5, clientId: "" });
    await nobody.publishAsync("t", "x", { qos: 1 });
    expect(await next).toEqual(["t x 1"]);
  });

  test("shares a subscription, and reports reason codes of failures", async () => {
    const broker = await start();
    const members = await Promise.all([1, 2].map(() => client(broker[transport], mqtt5)));
    let count = 0;
    const all = new Promise<void>((resolve) => {
      for (const member of members) {
        member.on("message", () => {
          if (++count === 20) resolve();
        });
      }
    });
    for (const member of members) await member.subscribeAsync("$share/g/s", { qos: 1 });
    const writer = await client(broker[transport], mqtt5);
    for (let n = 0; n < 20; n++) await writer.publishAsync("s", `${n}`, { qos: 1 });
    await all;
    const denied = writer.publishAsync("$SYS/x", "x", { qos: 1 });
    await expect(denied).rejects.toThrow(/Not authorized/);
  });
});

test("is accepted or refused by user name and password", async () => {
  const { tcp, ws } = await start({ users: { ada: "secret" } });
  for (const address of [tcp, ws]) {
    await client(address, { username: "ada", password: "secret" });
    const wrong = mqtt.connectAsync(address, {
      username: "ada",
      password: "x",
      reconnectPeriod: 0,
    });
    await expect(wrong).rejects.toThrow(/Bad username or password/);
    await expect(mqtt.connectAsync(address, { reconnectPeriod: 0 })).rejects.toThrow(
      /Not authorized/,
    );
  }
});
