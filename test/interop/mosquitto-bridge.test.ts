// Debian's mosquitto as a bridge to a sansmq broker, which it connects to as a client.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { describe, expect, onTestFinished, test } from "vitest";
import type { BrokerEvent } from "../../core/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { CutProxy } from "../support/cut-proxy.ts";
import { needs } from "../support/needs.ts";
import { type Running, run } from "../support/process.ts";
import { startRecorded } from "../support/recording.ts";

const versions = ["mqttv31", "mqttv311", "mqttv50"] as const;
type Version = (typeof versions)[number];
const levelOf = { mqttv31: 3, mqttv311: 4, mqttv50: 5 } as const;

interface BridgeOptions {
  readonly version: Version;
  /** The value of mosquitto's option `topic`, such as `a/# both 1`. */
  readonly topics: readonly string[];
  readonly more?: readonly string[];
}

type Broker = Awaited<ReturnType<typeof startBroker>>;

async function startBroker() {
  const broker = await startRecorded({
    codec: codecKind,
    tcp: { port: 0 },
    limits: { sysMillis: 0 },
  });
  return {
    broker,
    address: broker.addresses[0]!,
    port: Number(new URL(broker.addresses[0]!).port),
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a mosquitto whose bridge connects to `port` with the client identifier `edge`. */
async function startBridge(
  port: number,
  options: BridgeOptions,
): Promise<{ mosquitto: Running; address: string }> {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-bridge-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "mosquitto.conf");
  const local = await freePort();
  const lines = [
    // Without this, mosquitto started as root would run as a user that cannot read the file.
    ...[
      `listener ${local} 127.0.0.1`,
      "allow_anonymous true",
      "user root",
      "max_queued_messages 0",
    ],
    ...["connection c", `address 127.0.0.1:${port}`, `bridge_protocol_version ${options.version}`],
    ...["remote_clientid edge", "restart_timeout 1 1", "keepalive_interval 5"],
    ...options.topics.map((topic) => `topic ${topic}`),
    ...(options.more ?? []),
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  const mosquitto = run("mosquitto", "-v", "-c", file);
  await mosquitto.says(/mosquitto version \S+ running/);
  return { mosquitto, address: `mqtt://127.0.0.1:${local}` };
}

async function client(address: string, options: IClientOptions = {}): Promise<MqttClient> {
  const connected = await mqtt.connectAsync(address.replace("tcp:", "mqtt:"), {
    reconnectPeriod: 0,
    ...options,
  });
  onTestFinished(() => void connected.end(true));
  return connected;
}

/** The messages to a subscriber of all topics, as `topic payload` and whether RETAIN is set. */
async function reader(address: string, options: IClientOptions = {}) {
  const subscriber = await client(address, options);
  const got: string[] = [];
  let look = (): void => {};
  subscriber.on("message", (topic, payload, { retain }) => {
    got.push(`${topic} ${payload.toString()}${retain ? " retained" : ""}`);
    look();
  });
  await subscriber.subscribeAsync("#", { qos: 2, rap: true });
  /** The messages since the last call, up to a message that begins with this text. */
  const until = (end: string): Promise<string[]> =>
    new Promise((resolve) => {
      look = () => {
        const at = got.findIndex((message) => message.startsWith(end));
        if (at < 0) return;
        look = () => {};
        resolve(got.splice(0, at + 1));
      };
      look();
    });
  /** `count` different messages that begin with this text, in the order of their first arrival. */
  const different = (beginning: string, count: number): Promise<string[]> =>
    new Promise((resolve) => {
      look = () => {
        const found = new Set(got.filter((message) => message.startsWith(beginning)));
        if (found.size === count) resolve([...found]);
      };
      look();
    });
  return { subscriber, until, different };
}

/** The next event of the sansmq broker that fits. */
function next(
  { broker }: Broker,
  kind: "connected" | "disconnected" | "subscribed" | "published",
  fits: (event: BrokerEvent) => boolean = () => true,
): Promise<BrokerEvent> {
  return new Promise((resolve) => {
    broker.on(kind, (event) => {
      if (fits(event)) resolve(event);
    });
  });
}

const isEdge = (event: BrokerEvent): boolean => "clientId" in event && event.clientId === "edge";

describe.each(versions)("a bridge that speaks %s", needs("mosquitto"), (version) => {
  for (const isPrivate of [true, false]) {
    for (const notifies of [true, false]) {
      const settings = `try_private ${isPrivate}, notifications ${notifies}`;
      test(`carries messages in, out and both ways, with ${settings}`, async () => {
        const ours = await startBroker();
        const connected = next(ours, "connected", isEdge);
        const subscribed = next(ours, "subscribed", (event) => {
          return event.kind === "subscribed" && event.filter === "both/#" && isEdge(event);
        });
        const bridge = await startBridge(ours.port, {
          version,
          topics: ["in/# in 2", "out/# out 2", "both/# both 2"],
          more: [`try_private ${isPrivate}`, `notifications ${notifies}`, "cleansession true"],
        });
        const level = levelOf[version];
        // With 5.0, mosquitto never sets the bridge bit, because subscriptions have options.
        const isBridge = isPrivate && level < 5;
        expect(await connected).toMatchObject({ clientId: "edge", level, isBridge });
        await subscribed;
        const here = await reader(ours.address, { protocolVersion: 5 });
        const there = await reader(bridge.address, { protocolVersion: 5 });

        for (const qos of [0, 1, 2] as const) {
          await here.subscriber.publishAsync("out/no", "stays here", { qos });
          await here.subscriber.publishAsync("in/a", `${qos}`, { qos });
        }
        await here.subscriber.publishAsync("both/end", "1", { qos: 2 });
        const came = (await there.until("both/end")).filter((line) => !line.startsWith("$"));
        expect([...came].sort()).toEqual(["both/end 1", "in/a 0", "in/a 1", "in/a 2"]);
        await here.until("both/end");

        for (const qos of [0, 1, 2] as const) {
          await there.subscriber.publishAsync("in/no", "stays there", { qos });
          await there.subscriber.publishAsync("out/a", `${qos}`, { qos });
        }
        await there.subscriber.publishAsync("both/end", "2", { qos: 2 });
        const went = await here.until("both/end");
        expect([...went].sort()).toEqual(["both/end 2", "out/a 0", "out/a 1", "out/a 2"]);

        // No message went in a circle: the next message arrives once on each side.
        await there.subscriber.publishAsync("both/last", "x", { qos: 2 });
        expect(await here.until("both/last")).toEqual(["both/last x"]);
        if (isBridge || level === 5) {
          const all = await there.until("both/last");
          expect(all.filter((line) => line.startsWith("both/"))).toEqual([
            "both/end 2",
            "both/last x",
          ]);
        }
      });
    }
  }

  test("retains on each side the messages that are retained on the other side", async () => {
    const ours = await startBroker();
    const bridge = await startBridge(ours.port, { version, topics: ["# both 1"] });
    const here = await reader(ours.address, { protocolVersion: 5 });
    const there = await reader(bridge.address, { protocolVersion: 5 });
    await there.subscriber.publishAsync("first", "x", { qos: 1 });
    await here.until("first");
    await here.subscriber.publishAsync("from/here", "1", { qos: 1, retain: true });
    await there.until("from/here");
    await there.subscriber.publishAsync("from/there", "1", { qos: 1, retain: true });
    await here.until("from/there");
    for (const address of [ours.address, bridge.address]) {
      const late = await reader(address);
      const messages = [await late.until("from/here"), await late.until("from/there")].flat();
      expect(messages.filter((line) => line.startsWith("from/")).sort()).toEqual([
        "from/here 1 retained",
        "from/there 1 retained",
      ]);
    }
  });

  test("publishes its state in $SYS/broker/connection/ID/state", async () => {
    const ours = await startBroker();
    const watcher = await client(ours.address);
    const states: string[] = [];
    let told = (): void => {};
    watcher.on("message", (topic, payload) => {
      states.push(`${topic} ${payload.toString()}`);
      told();
    });
    const count = (wanted: number): Promise<void> =>
      new Promise((resolve) => {
        told = () => void (states.length >= wanted && resolve());
        told();
      });
    await watcher.subscribeAsync("$SYS/broker/connection/+/state", { qos: 1 });
    const bridge = await startBridge(ours.port, { version, topics: ["a/# out 1"] });
    await count(1);
    bridge.mosquitto.child.kill("SIGKILL");
    await count(2);
    const topic = "$SYS/broker/connection/edge/state";
    expect(states).toEqual([`${topic} 1`, `${topic} 0`]);
  });

  test("loses no QoS 1 message when its connection is cut", async () => {
    const ours = await startBroker();
    const proxy = await CutProxy.to(ours.port);
    const bridge = await startBridge(proxy.port, {
      version,
      topics: ["in/# in 1", "out/# out 1"],
      more: ["cleansession false"],
    });
    const here = await reader(ours.address);
    const there = await reader(bridge.address);
    const numbers = Array.from({ length: 200 }, (_, n) => n);
    const say = (from: MqttClient, topic: string, start: number): Promise<unknown> =>
      Promise.all(numbers.map((n) => from.publishAsync(topic, `${start + n}`, { qos: 1 })));
    await there.subscriber.publishAsync("out/up", "x", { qos: 1 });
    await here.until("out/up");

    for (let round = 0; round < 3; round++) {
      const gone = next(ours, "disconnected", isEdge);
      const start = round * 1000;
      // Some messages are in flight when the connection is cut.
      const before = [say(here.subscriber, "in/a", start), say(there.subscriber, "out/a", start)];
      proxy.cut();
      await gone;
      await Promise.all(before);
      await say(here.subscriber, "in/a", start + 200);
      await say(there.subscriber, "out/a", start + 200);
      const back = next(ours, "subscribed", isEdge);
      proxy.mend();
      await back;
    }
    const expected = (topic: string): string[] =>
      [0, 1, 2].flatMap((round) => {
        return Array.from({ length: 400 }, (_, n) => `${topic} ${round * 1000 + n}`);
      });
    // As a set: with 5.0, mosquitto sends new messages before queued messages.
    const went = await here.different("out/a ", 1200);
    expect(new Set(went)).toEqual(new Set(expected("out/a")));
    // With 5.0, mosquitto's bridge requests a session that ends with its connection: sansmq queues no message for it.
    if (version === "mqttv50") return;
    expect(await there.different("in/a ", 1200)).toEqual(expected("in/a"));
  });
});

test(
  "a bridge is refused if it may not publish its state or the program does not allow it",
  needs("mosquitto"),
  async () => {
    const broker = await startRecorded({
      codec: codecKind,
      tcp: { port: 0 },
      limits: { bridgeStateAvailable: 0 },
    });
    const refused = new Promise((resolve) => broker.on("refused", resolve));
    const { port } = new URL(broker.addresses[0]!);
    await startBridge(Number(port), { version: "mqttv311", topics: ["a/# out 1"] });
    expect(await refused).toMatchObject({ clientId: "edge", reason: 0x87 });
  },
);
