import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { Limits } from "../../core/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { needs } from "../support/needs.ts";
import { run } from "../support/process.ts";
import { startRecorded } from "../support/recording.ts";

const script = fileURLToPath(new URL("./paho-client.py", import.meta.url));
const inflight = fileURLToPath(new URL("./paho-inflight.py", import.meta.url));

async function start(limits: Partial<Limits> = {}) {
  const options = { codec: codecKind, tcp: { port: 0 }, ws: { port: 0 }, limits } as const;
  const broker = await startRecorded(options);
  const [tcp, ws] = broker.addresses.map((address) => new URL(address).port) as [string, string];
  return { broker, tcp, ws };
}

/** Debian's Python, for which Debian packages Paho. */
const python = "/usr/bin/python3";

test.each([
  ["tcp", 3],
  ["tcp", 4],
  ["tcp", 5],
  ["websockets", 4],
  ["websockets", 5],
] as const)(
  "Paho's Python client publishes and receives over %s, protocol %i",
  needs("Paho for Python"),
  async (transport, version) => {
    const { tcp, ws } = await start();
    const port = transport === "tcp" ? tcp : ws;
    const { stdout, stderr } = await run(python, script, "127.0.0.1", port, `${version}`, transport)
      .finished;
    const more = version === 5 ? " text [('a', '1'), ('b', '2')] [5]" : "";
    const lines = [0, 1, 2].map((qos) => `paho/t m${qos} ${qos} 0${more}\n`);
    expect([stdout, stderr]).toEqual([lines.join(""), ""]);
  },
);

test.each([
  ["tcp", 3],
  ["tcp", 4],
  ["websockets", 4],
] as const)(
  "Paho's Python client over %s, protocol %i, stays connected with 20 messages in flight and a receiveMax of 10",
  needs("Paho for Python"),
  async (transport, version) => {
    const { broker, tcp, ws } = await start({ receiveMax: 10 });
    const payloads: string[] = [];
    broker.on("published", ({ payload }) => payloads.push(new TextDecoder().decode(payload)));
    const port = transport === "tcp" ? tcp : ws;
    const { stdout, stderr } = await run(
      python,
      inflight,
      "127.0.0.1",
      port,
      `${version}`,
      transport,
    ).finished;
    expect([stdout, stderr]).toEqual(["200 published, 1 connection\n", ""]);
    expect(payloads).toEqual(Array.from({ length: 200 }, (_, n) => `${n}`));
  },
);

test.each([
  ["paho_c_sub", "paho_c_pub", "3.1.1"],
  ["paho_c_sub", "paho_c_pub", "5.0"],
  ["paho_cs_sub", "paho_cs_pub", "3.1.1"],
  ["paho_cs_sub", "paho_cs_pub", "5.0"],
] as const)(
  "Paho's C client %s receives what %s publishes, protocol %s",
  needs("Paho for C", "stdbuf"),
  async (sub, pub, version) => {
    const { broker, tcp } = await start();
    const subscribed = new Promise((resolve) => broker.on("subscribed", resolve));
    const flags = ["-V", version === "5.0" ? "5" : "311"];
    const at = ["-h", "127.0.0.1", "-p", tcp, ...flags];
    // stdbuf, because Paho's clients buffer output that does not go to a terminal.
    const reader = run("stdbuf", "-oL", sub, ...at, "-t", "c/#", "-q", "2");
    await subscribed;
    const got = reader.says(/hello from C/);
    const writer = run(pub, ...at, "-t", "c/x", "-q", "2", "-m", "hello from C");
    expect((await writer.finished).code).toBe(0);
    await got;
  },
);
