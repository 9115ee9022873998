/** MessagePort as the transport, in one process and between threads. */
import { Worker } from "node:worker_threads";
import mqtt, { type MqttClient } from "mqtt";
import { browserStreamBuilder } from "mqtt/lib/connect/ws";
import { describe, expect, onTestFinished, test } from "vitest";
import { createLocalBroker, type LocalBroker, portSocket } from "../../adapters/local/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { concat, connect, disconnect, pingreq, publish, subscribe } from "../support/packets.ts";
import { SocketClient } from "../support/socket-client.ts";

function start(limits = {}): LocalBroker {
  const broker = createLocalBroker({ codec: codecKind, limits });
  onTestFinished(() => broker.close(100));
  return broker;
}

/** The client's end of a MessageChannel whose other end the broker serves. */
function served(broker: LocalBroker): MessagePort {
  const { port1, port2 } = new MessageChannel();
  broker.servePort(port2);
  onTestFinished(() => port1.close());
  return port1;
}

class PortClient extends SocketClient {
  readonly socket: ReturnType<typeof portSocket>;

  constructor(port: MessagePort) {
    super();
    this.socket = portSocket(port);
    this.socket.onmessage = ({ data }: { data: ArrayBuffer }) =>
      this.received(new Uint8Array(data));
    this.socket.onclose = ({ code }: { code: number }) => this.resolveClosed(code);
  }
  send(bytes: Uint8Array): this {
    this.socket.send(bytes);
    return this;
  }
  destroy(): void {
    this.socket.close();
  }
  end(): void {
    this.socket.close();
  }
  pause(): void {}
  resume(): void {}
}

async function opened(broker: LocalBroker): Promise<PortClient> {
  const client = new PortClient(served(broker));
  await new Promise<void>((resolve) => {
    client.socket.onopen = () => resolve();
  });
  return client;
}

async function connected(broker: LocalBroker, clientId: string): Promise<PortClient> {
  const client = await opened(broker);
  client.send(connect({ clientId }));
  expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
  return client;
}

/** MQTT.js as in a page: its stream over a WebSocket, which is a MessagePort here. */
async function mqttjs(makePort: () => MessagePort, options = {}): Promise<MqttClient> {
  const build = browserStreamBuilder as unknown as (client: MqttClient, options: object) => never;
  const given = {
    protocol: "ws" as const,
    hostname: "worker",
    reconnectPeriod: 0,
    ...options,
    createWebsocket: () => portSocket(makePort()),
  };
  const client = new mqtt.MqttClient((made) => build(made, given), given);
  onTestFinished(() => void client.end(true));
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
  });
  return client;
}

/** A port used without credit of its own, and the broker's messages in order. */
function byHand(port: MessagePort) {
  const messages: unknown[] = [];
  let wake = (): void => {};
  port.onmessage = ({ data }) => {
    messages.push(data);
    wake();
  };
  const until = async (isThere: () => boolean): Promise<void> => {
    while (!isThere()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const sends = (bytes: Uint8Array): void => {
    const { buffer } = new Uint8Array(bytes);
    port.postMessage(buffer, [buffer]);
  };
  const byteCount = (): number =>
    messages.reduce<number>((sum, m) => sum + (m instanceof ArrayBuffer ? m.byteLength : 0), 0);
  return { messages, until, sends, byteCount };
}

test.each([null, {}, "port", { postMessage: 1 }])(
  "a value that is not a port is a ConfigError: %j",
  (port) => {
    const broker = start();
    const faulty = { name: "ConfigError", field: "port" };
    expect(() => broker.servePort(port as never)).toThrow(expect.objectContaining(faulty));
    expect(() => portSocket(port as never)).toThrow(expect.objectContaining(faulty));
  },
);

describe("a broker behind a MessagePort", () => {
  test.each([4, 5] as const)("serves MQTT.js, protocol %i", async (protocolVersion) => {
    const broker = start();
    const reader = await mqttjs(() => served(broker), { protocolVersion, clientId: "r" });
    const writer = await mqttjs(() => served(broker), { protocolVersion, clientId: "w" });
    await reader.subscribeAsync("a/#", { qos: 2 });
    const got = new Set<string>();
    const all = new Promise<void>((resolve) => {
      reader.on("message", (topic, payload) => {
        got.add(`${topic} ${payload.toString()}`);
        if (got.size === 300) resolve();
      });
    });
    for (let n = 0; n < 300; n++) {
      void writer.publishAsync("a/b", `${n}`, { qos: (n % 3) as 0 | 1 | 2 });
    }
    await all;
    await reader.endAsync();
    await writer.endAsync();
    await expect.poll(() => broker.counters.connectionsClosed).toBe(2);
  });

  test("carries a payload of several windows both ways", async () => {
    const broker = start();
    const client = await mqttjs(() => served(broker));
    await client.subscribeAsync("big");
    const payload = Buffer.alloc(1_000_000, 0x2e);
    const came = new Promise<Buffer>((resolve) => client.on("message", (_, got) => resolve(got)));
    await client.publishAsync("big", payload, { qos: 1 });
    expect((await came).equals(payload)).toBe(true);
  });

  test("serves a client in another thread, with many packets at once", async () => {
    const source = `
      const { parentPort } = require("node:worker_threads");
      import("${new URL("../../dist/adapters/local/mod.js", import.meta.url).href}").then(
        ({ createLocalBroker }) => {
          const broker = createLocalBroker();
          parentPort.on("message", (port) => broker.servePort(port));
        });`;
    const worker = new Worker(source, { eval: true });
    onTestFinished(() => void worker.terminate());
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(port2, [port2 as never]);
    const client = new PortClient(port1);
    await new Promise<void>((resolve) => {
      client.socket.onopen = () => resolve();
    });
    client.send(concat(connect(), subscribe(1, ["a", 0])));
    await client.takes(2);
    client.send(concat(...Array.from({ length: 20_000 }, (_, n) => publish("a", `${n}`))));
    const lines = await client.takes(20_000);
    expect(lines[0]).toBe('PUBLISH a "0" q0');
    expect(lines[19_999]).toBe('PUBLISH a "19999" q0');
    // The end of a thread ends its ports.
    await worker.terminate();
    expect(await client.closed).toBe(1006);
  });

  test("sends no more than its credit, and continues when it receives more", async () => {
    const broker = start();
    const port = served(broker);
    const reader = byHand(port);
    reader.sends(concat(connect({ clientId: "slow" }), subscribe(1, ["a", 0])));
    await reader.until(() => reader.byteCount() >= 9);
    const fast = await connected(broker, "fast");
    const payload = new Uint8Array(100_000);
    for (let n = 0; n < 8; n++) fast.send(publish("a", payload));
    fast.send(pingreq);
    await fast.takes(1);
    let given = 0;
    while (reader.byteCount() < 800_000) {
      await reader.until(() => reader.byteCount() > given);
      expect(reader.byteCount() - given).toBeLessThanOrEqual(262_144);
      port.postMessage(reader.byteCount() - given);
      given = reader.byteCount();
    }
  });

  test("a client that gives no credit stays within its limits, and is closed", async () => {
    const broker = start({ stallMillisMax: 300, outputBytesMax: 20_000 });
    const port = served(broker);
    const slow = byHand(port);
    slow.sends(concat(connect({ clientId: "slow" }), subscribe(1, ["a", 0])));
    await slow.until(() => slow.byteCount() >= 9);
    const fast = await connected(broker, "fast");
    while (broker.counters.closedStalled === 0) {
      fast.send(concat(publish("a", new Uint8Array(20_000)), pingreq));
      await fast.takes(1);
    }
    expect(broker.counters.droppedSlowReader).toBeGreaterThan(0);
    await slow.until(() => slow.messages.includes(null));
    expect(slow.byteCount()).toBeLessThanOrEqual(262_144);
  });

  test("a client that the broker stops reading waits, and loses no message", async () => {
    let decide = (_: boolean): void => {};
    const decision = new Promise<boolean>((resolve) => {
      decide = resolve;
    });
    const broker = createLocalBroker({ codec: codecKind, authorizePublish: () => decision });
    onTestFinished(() => broker.close(100));
    const writer = await connected(broker, "w");
    for (let n = 0; n < 30; n++) writer.send(publish("a", new Uint8Array(100_000)));
    writer.send(pingreq);
    const other = await connected(broker, "other");
    other.send(pingreq);
    await other.takes(1);
    expect(writer.socket.bufferedAmount).toBeGreaterThan(1_000_000);
    expect(broker.counters.inputBytes).toBeLessThan(1_000_000);
    decide(true);
    expect(await writer.takes(1)).toEqual(["PINGRESP"]);
    expect(writer.socket.bufferedAmount).toBe(0);
    expect(broker.counters.publishesReceived).toBe(30);
  });

  test("cuts off a client that sends beyond its credit", async () => {
    const decision = new Promise<boolean>(() => {});
    const broker = createLocalBroker({ codec: codecKind, authorizePublish: () => decision });
    onTestFinished(() => broker.close(100));
    const rude = byHand(served(broker));
    rude.sends(concat(connect(), publish("a", "x")));
    for (let n = 0; n < 20; n++) rude.sends(publish("a", new Uint8Array(100_000)));
    await rude.until(() => rude.messages.at(-1) === null);
    await expect.poll(() => broker.counters.connectionsClosed).toBe(1);
  });

  test.each([
    ["a text", "text"],
    ["an object", {}],
    ["negative credit", -1],
  ])(
    "a message that does not belong to the protocol of the port closes the port: %s",
    async (_, message) => {
      const broker = start();
      const port = served(broker);
      const rude = byHand(port);
      port.postMessage(message);
      await rude.until(() => rude.messages.at(-1) === null);
      await expect.poll(() => broker.counters.connectionsClosed).toBe(1);
    },
  );

  test("a port that closes without DISCONNECT publishes the will", async () => {
    const broker = start();
    const watcher = await connected(broker, "watcher");
    watcher.send(subscribe(1, ["w", 0]));
    await watcher.takes(1);
    const port = served(broker);
    const mortal = byHand(port);
    mortal.sends(connect({ clientId: "m", will: { topic: "w", payload: "gone" } }));
    await mortal.until(() => mortal.byteCount() === 4);
    port.close();
    expect(await watcher.takes(1)).toEqual(['PUBLISH w "gone" q0']);
    const tidy = await opened(broker);
    tidy.send(connect({ clientId: "t", will: { topic: "w", payload: "gone" } }));
    await tidy.takes(1);
    tidy.send(disconnect);
    expect(await tidy.closed).toBe(1000);
    watcher.send(pingreq);
    expect(await watcher.takes(1)).toEqual(["PINGRESP"]);
  });

  test("handles the bytes sent before the end", async () => {
    const broker = start();
    const reader = await connected(broker, "r");
    reader.send(subscribe(1, ["a", 0]));
    await reader.takes(1);
    const writer = await connected(broker, "w");
    writer.send(publish("a", new Uint8Array(900_000)));
    writer.destroy();
    expect(await reader.takes(1)).toEqual(["PUBLISH a 900000 bytes q0"]);
    expect(await writer.closed).toBe(1000);
  });

  test("a broker that accepts no more connections ends the port at once", async () => {
    const broker = start({ connectionsMax: 1 });
    await connected(broker, "first");
    const second = await opened(broker);
    expect(await second.closed).toBe(1000);
  });

  test("closing the broker ends its clients regularly", async () => {
    const broker = createLocalBroker({ codec: codecKind });
    const client = await mqttjs(() => served(broker), { protocolVersion: 5 });
    const told = new Promise((resolve) =>
      client.on("disconnect", ({ reasonCode }) => resolve(reasonCode)),
    );
    await broker.close(500);
    expect(await told).toBe(0x8b);
  });

  test("MQTT.js reconnects when another broker replaces the first", async () => {
    let broker = start();
    const client = await mqttjs(() => served(broker), { reconnectPeriod: 1 });
    const again = new Promise<void>((resolve) => client.on("connect", () => resolve()));
    const old = broker;
    broker = start();
    await old.close(100);
    await again;
    expect(broker.counters.clientsConnected).toBe(1);
  });
});
