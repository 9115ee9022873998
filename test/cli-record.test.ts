import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { concat, connect, publish, subscribe } from "./support/packets.ts";
import { type Running, runSansmq } from "./support/process.ts";
import { newFolder, quiet, serving } from "./support/serving.ts";
import { openSocket } from "./support/socket-client.ts";

describe("--record", () => {
  const record = ["--port", "0", "--no-ws", "--log-level", "warn", "--record"] as const;

  /** A run in which a client publishes to itself. */
  async function runOnce(path: string, ...args: string[]): Promise<Running> {
    const { broker, tcp } = await serving(...record, path, ...args);
    const client = await openSocket(tcp);
    client.send(connect({ clientId: "me", username: "ada", password: "secret" }));
    client.send(concat(subscribe(1, ["a", 1]), publish("a", "hush", { qos: 1, id: 1 })));
    await client.takes(4);
    return broker;
  }

  async function stopped(broker: Running, signal: NodeJS.Signals): Promise<void> {
    broker.child.kill(signal);
    await broker.finished;
  }

  test("writes a file that replays to the same output and shows the state at any step", async () => {
    const path = join(newFolder(), "r");
    await stopped(await runOnce(path), "SIGINT");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const { code, stdout, stderr } = await runSansmq("replay", path).finished;
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^recorded by sansmq 0\.1\.0 with codec wasm-simd\n\d+ steps in \d+ ms/);
    expect(stdout).toMatch(
      /hash [0-9a-f]{16} over their bytes\nthe output is the same as recorded\n$/,
    );
    expect(await inspected(path)).toMatchObject({
      covers: "bytes",
      end: { cause: "closed" },
      state: { counters: { publishesReceived: 1 }, isShuttingDown: true },
    });
    expect(await inspected(path, "--until", "3")).toMatchObject({
      steps: 3,
      end: null,
      state: { connections: [], isShuttingDown: false },
    });
  });

  async function inspected(path: string, ...args: string[]): Promise<unknown> {
    const { code, stdout } = await runSansmq("replay", path, "--inspect", ...args).finished;
    expect(code).toBe(0);
    return JSON.parse(stdout);
  }

  test("writes no password, and no payload if payloads are off", async () => {
    const path = join(newFolder(), "r");
    await stopped(await runOnce(path, "--no-record-payloads"), "SIGTERM");
    expect(readFileSync(path, "latin1")).not.toMatch(/secret|hush/);
    expect((await runSansmq("replay", path).finished).stdout).toContain("over their lengths");
  });

  test("keeps the configured number of recordings of earlier runs", async () => {
    const path = join(newFolder(), "r");
    const sizes: number[] = [];
    for (let n = 0; n < 4; n++) {
      await stopped(await runOnce(path, "--record-keep", "2"), "SIGINT");
      sizes.push(statSync(path).size);
    }
    expect([1, 2, 3].map((n) => existsSync(`${path}.${n}`))).toEqual([true, true, false]);
    expect(statSync(`${path}.2`).size).toBe(sizes[1]);
    expect((await runSansmq("replay", `${path}.2`).finished).code).toBe(0);
  });

  test("writes nothing if the broker cannot listen, and keeps the earlier recordings", async () => {
    const path = join(newFolder(), "r");
    const before = await runOnce(path);
    await stopped(before, "SIGKILL");
    const crashed = readFileSync(path);
    const { tcp } = await serving(...quiet);
    const { port } = new URL(tcp);
    for (const where of [
      ["--port", port],
      ["--port", "0", "--ws-port", port],
    ]) {
      const { code, stderr } = await runSansmq("--record", path, ...where).finished;
      expect(stderr).toMatch(/^sansmq: cannot listen: .*\n$/);
      expect(code).toBe(1);
    }
    expect(readFileSync(path)).toEqual(crashed);
    expect(existsSync(`${path}.1`)).toBe(false);
  });

  test("writes a file that replays to its end after the process was killed", async () => {
    const path = join(newFolder(), "r");
    const broker = await runOnce(path, "--sys-millis", "100");
    const before = statSync(path).size;
    while (statSync(path).size === before) await new Promise((resolve) => setTimeout(resolve, 20));
    await stopped(broker, "SIGKILL");
    const { code, stdout } = await runSansmq("replay", path).finished;
    expect(stdout).toMatch(
      /the recording is incomplete: .*\nthe output is the same as recorded\n$/,
    );
    expect(code).toBe(0);
  });

  test("ends at its size limit with a line in the log; a differing replay exits with 1", async () => {
    const path = join(newFolder(), "r");
    const { broker, tcp } = await serving(...record, path, "--record-max-bytes", "1048576");
    const client = await openSocket(tcp);
    client.send(connect({ clientId: "me" }));
    for (let n = 0; n < 3; n++)
      client.send(publish("a", new Uint8Array(600_000), { qos: 1, id: 1 }));
    await broker.says(/"the recording reached its maximum size and ended".*"bytesMax":1048576/);
    await stopped(broker, "SIGINT");
    expect((await runSansmq("replay", path).finished).stdout).toContain("is cut: it reached");
    const bytes = readFileSync(path);
    const connack = bytes.indexOf("me", bytes.indexOf("MQTT"));
    bytes.write("\0\0", connack);
    writeFileSync(path, bytes);
    const { code, stdout } = await runSansmq("replay", path).finished;
    expect(stdout).toMatch(/\ndiffers at step \d+ \(.*\): .*\n$/);
    expect(code).toBe(1);
  });
});
