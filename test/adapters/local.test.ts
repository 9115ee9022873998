import { Duplex } from "node:stream";
import mqtt, { type MqttClient } from "mqtt";
import { describe, expect, onTestFinished, test } from "vitest";
import { createLocalBroker, type LocalBroker } from "../../adapters/local/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { connect, publish, subscribe } from "../support/packets.ts";

function start(limits = {}): LocalBroker {
  const broker = createLocalBroker({ codec: codecKind, limits });
  onTestFinished(() => broker.close(100));
  return broker;
}

async function mqttjs(broker: LocalBroker, options = {}): Promise<MqttClient> {
  const client = new mqtt.MqttClient(() => Duplex.fromWeb(broker.pipe() as never) as never, {
    reconnectPeriod: 0,
    ...options,
  });
  onTestFinished(() => void client.end(true));
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
  });
  return client;
}

describe("a broker with no socket", () => {
  test.each([4, 5] as const)("serves MQTT.js, protocol %i", async (protocolVersion) => {
    const broker = start();
    const reader = await mqttjs(broker, { protocolVersion, clientId: "r" });
    const writer = await mqttjs(broker, { protocolVersion, clientId: "w" });
    await reader.subscribeAsync("a/#", { qos: 2 });
    const got: string[] = [];
    const all = new Promise<void>((resolve) => {
      reader.on("message", (topic, payload) => {
        got.push(`${topic} ${payload.toString()}`);
        if (got.length === 300) resolve();
      });
    });
    for (let n = 0; n < 300; n++) {
      void writer.publishAsync("a/b", `${n}`, { qos: (n % 3) as 0 | 1 | 2 });
    }
    await all;
    expect(new Set(got).size).toBe(300);
    await reader.endAsync();
    await writer.endAsync();
  });

  test("carries a large payload both ways", async () => {
    const client = await mqttjs(start());
    await client.subscribeAsync("big");
    const payload = Buffer.alloc(1_000_000, 0x2e);
    const came = new Promise<Buffer>((resolve) => {
      client.on("message", (_, got) => resolve(got));
    });
    await client.publishAsync("big", payload, { qos: 1 });
    expect((await came).equals(payload)).toBe(true);
  });

  test("a client that does not read delays no other client, and the broker notices its end", async () => {
    const broker = start({ outputBytesMax: 20_000 });
    const slow = broker.pipe();
    const writer = slow.writable.getWriter();
    await writer.write(connect({ clientId: "slow" }));
    await writer.write(subscribe(1, ["a", 0]));
    const fast = await mqttjs(broker);
    for (let n = 0; n < 2000; n++) {
      // The acknowledgement shows that all earlier packets were handled.
      await fast.publishAsync("a", "x".repeat(100), { qos: n % 50 === 49 ? 1 : 0 });
    }
    expect(broker.counters.droppedSlowReader).toBeGreaterThan(0);
    const gone = new Promise((resolve) => broker.on("disconnected", resolve));
    await writer.close();
    expect(await gone).toMatchObject({ clientId: "slow" });
  });

  test("an invalid packet ends the streams", async () => {
    const { readable, writable } = start().pipe();
    await writable.getWriter().write(publish("a", "before CONNECT"));
    const reader = readable.getReader();
    expect(await reader.read()).toEqual({ done: true, value: undefined });
  });

  test("both streams end with the connection", async () => {
    const broker = start();
    const { readable, writable } = broker.pipe();
    const [reader, writer] = [readable.getReader(), writable.getWriter()];
    await writer.write(connect({ clientId: "a" }));
    await reader.read();
    broker.disconnect("a");
    expect(await reader.read()).toEqual({ done: true, value: undefined });
    await expect(writer.closed).rejects.toThrow("ended");
    await expect(writer.write(connect())).rejects.toThrow("ended");
  });

  test("a pipe beyond connectionsMax ends at once", async () => {
    const broker = start({ connectionsMax: 1 });
    broker.pipe();
    const { readable, writable } = broker.pipe();
    expect(await readable.getReader().read()).toEqual({ done: true, value: undefined });
    await expect(writable.getWriter().write(connect())).rejects.toThrow("ended");
  });

  test.each([null, "text", [0xc0, 0], new ArrayBuffer(2), new Uint16Array(1)])(
    "a written value that is not a chunk of bytes ends the pipe: %j",
    async (chunk) => {
      const broker = start();
      const { readable, writable } = broker.pipe();
      const writer = writable.getWriter();
      await writer.write(connect({ clientId: "a" }));
      const gone = new Promise((resolve) => broker.on("disconnected", resolve));
      const write = writer.write(chunk as never);
      await expect(write).rejects.toMatchObject({ name: "ConfigError", field: "chunk" });
      expect(await gone).toMatchObject({ clientId: "a" });
      const reader = readable.getReader();
      while (!(await reader.read()).done);
      await (await mqttjs(broker)).endAsync();
    },
  );

  test("a listener that throws causes an error event, and the other listeners still run", async () => {
    const broker = start();
    const told: unknown[] = [];
    broker.on("connected", () => {
      throw new Error("a listener's");
    });
    broker.on("connected", ({ clientId }) => told.push(clientId));
    const failed = new Promise((resolve) => broker.on("error", ({ error }) => resolve(error)));
    const client = await mqttjs(broker, { clientId: "c" });
    expect(await failed).toEqual(new Error("a listener's"));
    expect(told).toEqual(["c"]);
    await client.endAsync();
  });

  test("closing the broker ends its clients regularly", async () => {
    const broker = createLocalBroker({ codec: codecKind });
    const client = await mqttjs(broker, { protocolVersion: 5 });
    const told = new Promise((resolve) =>
      client.on("disconnect", ({ reasonCode }) => resolve(reasonCode)),
    );
    await broker.close(500);
    expect(await told).toBe(0x8b);
  });
});
