import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { BrokerOptions } from "../../adapters/node/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { needs } from "../support/needs.ts";
import { type Running, run } from "../support/process.ts";
import { startRecorded } from "../support/recording.ts";

const clients = needs("mosquitto's clients");

/** A broker, and mosquitto's clients pointed at it. */
async function start(options: BrokerOptions = {}) {
  const broker = await startRecorded({ codec: codecKind, tcp: { port: 0 }, ...options });
  const { port } = new URL(broker.addresses[0]!);
  const at = ["-h", "127.0.0.1", "-p", port];
  /** Resolves with a subscriber once its subscription is made. */
  const sub = async (...args: string[]): Promise<Running> => {
    const ready = new Promise((resolve) => broker.on("subscribed", resolve));
    const subscriber = run("mosquitto_sub", ...at, "-W", "15", ...args);
    await Promise.race([ready, subscriber.finished]);
    return subscriber;
  };
  const pub = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await run("mosquitto_pub", ...at, ...args).finished;
    expect([code, stderr]).toEqual([0, ""]);
  };
  return { broker, at, sub, pub };
}

const versions = ["mqttv31", "mqttv311", "mqttv5"] as const;

describe.each(versions)("mosquitto's clients with %s", clients, (version) => {
  const v = ["-V", version] as const;

  for (const published of [0, 1, 2]) {
    for (const granted of [0, 1, 2]) {
      test(`publish at QoS ${published} to a subscriber granted QoS ${granted}`, async () => {
        const { sub, pub } = await start();
        const format = ["-F", "%t %q %p"];
        const subscriber = await sub(...v, "-t", "a/#", "-q", `${granted}`, "-C", "3", ...format);
        for (const n of [1, 2, 3])
          await pub(...v, "-t", `a/${n}`, "-m", `m${n}`, "-q", `${published}`);
        const qos = Math.min(published, granted);
        const { stdout } = await subscriber.finished;
        expect(stdout).toBe(`a/1 ${qos} m1\na/2 ${qos} m2\na/3 ${qos} m3\n`);
      });
    }
  }

  test("as a new subscriber, receive a retained message until it is cleared", async () => {
    const { sub, pub } = await start();
    await pub(...v, "-t", "r/1", "-m", "kept", "-r", "-q", "1");
    const first = await sub(...v, "-t", "r/+", "-C", "1", "-F", "%r %t %p");
    expect((await first.finished).stdout).toBe("1 r/1 kept\n");
    await pub(...v, "-t", "r/1", "-n", "-r");
    const second = await sub(...v, "-t", "r/+", "-t", "r", "-C", "1", "-v");
    await pub(...v, "-t", "r", "-m", "only this");
    expect((await second.finished).stdout).toBe("r only this\n");
  });

  test("publish the will of a killed client", async () => {
    const { sub } = await start();
    const watcher = await sub(...v, "-t", "will", "-C", "1", "-q", "2", "-F", "%q %p");
    const will = ["--will-topic", "will", "--will-payload", "gone", "--will-qos", "2"];
    const mortal = await sub(...v, "-t", "other", ...will);
    mortal.child.kill("SIGKILL");
    expect((await watcher.finished).stdout).toBe("2 gone\n");
  });

  test("receive the messages queued while a client with a kept session was away", async () => {
    const { broker, sub, pub } = await start();
    const kept = version === "mqttv5" ? ["-x", "100"] : [];
    const session = [...v, "-i", "keeper", "-c", ...kept, "-t", "off/#", "-q", "1"];
    // The subscriber exits after a message: a signal could hang it, because mosquitto_sub's signal handler takes locks.
    const first = await sub(...session, "-C", "1");
    const gone = new Promise<void>((resolve) => {
      broker.on("disconnected", ({ clientId }) => clientId === "keeper" && resolve());
    });
    await pub(...v, "-t", "off/x", "-m", "m0", "-q", "1");
    await gone;
    expect((await first.finished).stdout).toBe("m0\n");
    for (const n of [1, 2, 3]) await pub(...v, "-t", "off/x", "-m", `m${n}`, "-q", "1");
    const second = await sub(...session, "-C", "3");
    expect((await second.finished).stdout).toBe("m1\nm2\nm3\n");
  });
});

test("$SYS shows the broker's version and its counters", clients, async () => {
  const { sub } = await start({ limits: { sysMillis: 100 } });
  const version = await sub("-t", "$SYS/broker/version", "-C", "1");
  expect((await version.finished).stdout).toMatch(/^sansmq \d+\.\d+\.\d+\n$/);
  const connected = await sub("-t", "$SYS/broker/clients/connected", "-C", "1");
  expect((await connected.finished).stdout).toMatch(/^\d+\n$/);
  // The topic is published in the second round; how many others come before it depends on time.
  const load = await sub("-t", "$SYS/broker/load/messages/received/+", "-v", "-C", "3");
  expect((await load.finished).stdout).toContain("$SYS/broker/load/messages/received/1min ");
  const all = await sub("-t", "$SYS/#", "-v", "-C", "40");
  expect((await all.finished).stdout).toContain("$SYS/broker/subscriptions/count ");
});

test("mosquitto_rr exchanges a request and its response in 3.1.1", clients, async () => {
  const { at, broker, pub, sub } = await start();
  const server = await sub("-t", "question", "-C", "1");
  const asked = new Promise((resolve) => {
    broker.on("published", ({ topic }) => topic === "question" && resolve(null));
  });
  const args = ["-V", "mqttv311", "-t", "question", "-e", "answer", "-m", "why"];
  const client = run("mosquitto_rr", ...at, "-W", "15", ...args);
  await asked;
  expect((await server.finished).stdout).toBe("why\n");
  await pub("-t", "answer", "-m", "because");
  const { code, stdout } = await client.finished;
  expect([code, stdout]).toEqual([0, "because\n"]);
});

describe("mosquitto's clients with 5.0", clients, () => {
  const mqtt5 = ["-V", "mqttv5"] as const;

  test("receive properties as they were published", async () => {
    const { sub, pub } = await start();
    const format = ["-F", "%t %p %C %R %D %P %E %F %S"];
    const identifier = ["-D", "subscribe", "subscription-identifier", "42"];
    const reader = await sub(...mqtt5, "-t", "p", "-q", "1", "-C", "1", ...format, ...identifier);
    const given = [
      ...["content-type", "text/plain", "response-topic", "r", "correlation-data", "abc"],
      ...["message-expiry-interval", "60", "payload-format-indicator", "1"],
    ];
    const flags: string[] = [];
    for (let n = 0; n < given.length; n += 2) flags.push("-D", "publish", given[n]!, given[n + 1]!);
    const user = [
      "-D",
      "publish",
      "user-property",
      "k",
      "v",
      "-D",
      "publish",
      "user-property",
      "k",
      "w",
    ];
    await pub(...mqtt5, "-t", "p", "-m", "x", "-q", "1", ...flags, ...user);
    expect((await reader.finished).stdout).toBe("p x text/plain r abc k:v k:w 60 1 42\n");
  });

  test("publish a will with a delay and properties", async () => {
    const { sub } = await start();
    const watcher = await sub(...mqtt5, "-t", "will", "-C", "1", "-F", "%p %C %r");
    const will = [
      ...["--will-topic", "will", "--will-payload", "gone", "-x", "10"],
      ...["-D", "will", "will-delay-interval", "1", "-D", "will", "content-type", "late"],
    ];
    const mortal = await sub(...mqtt5, "-t", "other", "-i", "mortal", "-c", ...will);
    mortal.child.kill("SIGKILL");
    expect((await watcher.finished).stdout).toBe("gone late 0\n");
  });

  test("exchange a request and its response by mosquitto_rr", async () => {
    const { at, sub, pub, broker } = await start();
    const server = await sub(...mqtt5, "-t", "question", "-C", "1", "-F", "%R %D %p");
    const asked = new Promise((resolve) => {
      broker.on("published", ({ topic }) => topic === "question" && resolve(null));
    });
    const args = [
      ...[...mqtt5, "-t", "question", "-e", "answer", "-m", "why"],
      ...["-D", "publish", "correlation-data", "c1"],
    ];
    const client = run("mosquitto_rr", ...at, "-W", "15", ...args);
    await asked;
    expect((await server.finished).stdout).toBe("answer c1 why\n");
    await pub(...mqtt5, "-t", "answer", "-m", "because");
    expect((await client.finished).stdout).toBe("because\n");
  });

  test("use a shared subscription and topic aliases", async () => {
    const { sub, pub } = await start();
    const one = await sub(...mqtt5, "-t", "$share/g/s/#", "-C", "2", "-q", "1");
    const two = await sub(...mqtt5, "-t", "$share/g/s/#", "-C", "2", "-q", "1");
    for (const n of [1, 2, 3, 4]) {
      const alias = ["-D", "publish", "topic-alias", "3"];
      await pub(...mqtt5, "-t", "s/t", "-m", `${n}`, "-q", "1", ...alias);
    }
    const lines = `${(await one.finished).stdout}${(await two.finished).stdout}`;
    expect(lines.trim().split("\n").sort()).toEqual(["1", "2", "3", "4"]);
  });

  test("exchange messages between protocol versions", async () => {
    const { sub, pub } = await start();
    for (const [from, to] of [
      ["mqttv5", "mqttv311"],
      ["mqttv31", "mqttv5"],
      ["mqttv311", "mqttv5"],
    ] as const) {
      const reader = await sub("-V", to, "-t", "x", "-q", "2", "-C", "1", "-F", "%q %p");
      const properties = from === "mqttv5" ? ["-D", "publish", "content-type", "t"] : [];
      await pub("-V", from, "-t", "x", "-m", "across", "-q", "2", ...properties);
      expect((await reader.finished).stdout).toBe("2 across\n");
    }
  });
});

test("mosquitto's clients are accepted or refused by user name and password", clients, async () => {
  const { at, pub } = await start({ users: { ada: "secret" } });
  await pub("-u", "ada", "-P", "secret", "-t", "a", "-m", "x");
  const wrong = run("mosquitto_pub", ...at, "-u", "ada", "-P", "no", "-t", "a", "-m", "x");
  expect((await wrong.finished).stderr).toMatch(/user name or password/i);
  const nobody = run("mosquitto_pub", ...at, "-t", "a", "-m", "x");
  expect((await nobody.finished).stderr).toMatch(/not authori[sz]ed/i);
});

test(
  "mosquitto's clients carry a payload near packetBytesMax, and a stream of lines",
  clients,
  async () => {
    const { sub, pub, at } = await start();
    const size = 1_000_000;
    const big = await sub("-t", "big", "-C", "1", "-q", "1", "-F", "%l");
    const file = run("mosquitto_pub", ...at, "-t", "big", "-s", "-q", "1");
    file.child.stdin!.end(Buffer.alloc(size, 0x61));
    await file.finished;
    expect((await big.finished).stdout).toBe(`${size}\n`);
    const lines = await sub("-t", "lines", "-C", "5000", "-q", "2");
    const publisher = run("mosquitto_pub", ...at, "-t", "lines", "-l", "-q", "2");
    const text = Array.from({ length: 5000 }, (_, n) => `line ${n}\n`).join("");
    publisher.child.stdin!.end(text);
    expect((await lines.finished).stdout).toBe(text);
    await pub("-t", "x", "-m", "still here");
  },
);

test(
  "sansmq has every $SYS topic of mosquitto, and its heap is the memory of the process",
  needs("mosquitto", "mosquitto's clients"),
  async () => {
    const topics = ["-F", "%t", "-t", "$SYS/#"];
    const theirs = await mosquittoTopics(topics);
    const { broker, sub } = await start();
    const ours = await sub(...topics);
    await ours.says(/load\/connections\/15min/);
    const known = new Set(ours.stdout.split("\n"));
    expect(theirs.filter((topic) => !known.has(topic))).toEqual([]);
    expect(theirs.length).toBeGreaterThan(45);
    expect(broker.counters.hostMemoryBytes).toBeGreaterThan(1_000_000);
  },
);

/** The topics that Debian's mosquitto publishes below $SYS. */
async function mosquittoTopics(topics: readonly string[]): Promise<string[]> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const config = join(folder, "mosquitto.conf");
  writeFileSync(config, `listener ${port} 127.0.0.1\nallow_anonymous true\nsys_interval 1\n`);
  await run("mosquitto", "-c", config).says(/ running/);
  const subscriber = run("mosquitto_sub", "-h", "127.0.0.1", "-p", `${port}`, ...topics);
  await Promise.all(
    [/load\/connections\/15min/, /heap\/maximum/].map((one) => subscriber.says(one)),
  );
  return [...new Set(subscriber.stdout.split("\n"))].filter((line) => line !== "");
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
