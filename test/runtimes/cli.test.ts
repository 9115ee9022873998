/** The command on every runtime: on Deno with permission for the network, and no other. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { version } from "../../adapters/version.ts";
import { concat, connect, publish, subscribe } from "../support/packets.ts";
import { missing } from "../support/peers.mjs";
import { run, runSansmq, runSansmqOn } from "../support/process.ts";
import { describeOn, runtimes } from "../support/runtimes.ts";
import { openSocket } from "../support/socket-client.ts";

const anyPorts = ["--port", "0", "--ws-port", "0"] as const;

describeOn(Object.keys(runtimes), (name, runtime) => {
  const serving = async (...args: string[]) => {
    const broker = runSansmqOn(runtime, ...anyPorts, ...args);
    const [, told] = await broker.says(/^sansmq listening (.*) store .*\n/);
    return { broker, addresses: told!.split(" ") };
  };

  test("serves over TCP and WebSocket at every loopback address, logs each line as JSON, and SIGTERM ends it with 0", async () => {
    const { broker, addresses } = await serving();
    expect(addresses.map((address) => address.replace(/:\d+(\/.*)?$/, ""))).toEqual([
      ...["tcp://127.0.0.1", "ws://127.0.0.1"],
      // A machine without IPv6 has one loopback address.
      ...(missing("IPv6") === null ? ["tcp://[::1]", "ws://[::1]"] : []),
    ]);
    for (const address of addresses) {
      const client = await openSocket(address);
      client.send(concat(connect(), subscribe(1, ["a", 1]), publish("a", "x", { qos: 1 })));
      expect((await client.takes(4)).sort()).toEqual([
        "CONNACK present=0 code=0",
        "PUBACK #1",
        'PUBLISH a "x" q1 #1',
        "SUBACK #1 1",
      ]);
      client.destroy();
    }
    broker.child.kill("SIGTERM");
    const { code, stderr } = await broker.finished;
    const lines = stderr.trimEnd().split("\n");
    const messages = lines.map((line) => (JSON.parse(line) as { message: string }).message);
    expect(messages[0]).toBe("serving");
    expect(messages.filter((message) => message === "connected")).toHaveLength(addresses.length);
    expect(messages).toContain("stopping");
    expect(messages.at(-1)).toBe("stopped");
    expect(code).toBe(0);
  });

  test("--version and --help print on standard output and exit 0", async () => {
    const finished = await runSansmqOn(runtime, "--version").finished;
    expect(finished).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    const { code, stdout, stderr } = await runSansmqOn(runtime, "--help").finished;
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Usage: sansmq[\s\S]*--sys-millis <n>.*\n/);
  });

  test("a wrong flag causes one line and exit code 2, and a port in use one line and exit code 1", async () => {
    const wrong = await runSansmqOn(runtime, "--prot", "1").finished;
    expect(wrong.stderr).toMatch(/^sansmq: unknown option '--prot'.*\n$/);
    expect([wrong.code, wrong.stdout]).toEqual([2, ""]);
    const { addresses } = await serving("--log-level", "silent");
    const { port } = new URL(addresses[0]!);
    for (const [at, ...args] of [
      [`127.0.0.1:${port}`, "--port", port],
      [`127.0.0.1:${port}`, "--port", "0", "--ws-port", port],
      [`192.0.2.1:${port}`, "--port", port, "--host", "192.0.2.1", "--allow-anonymous"],
    ] as const) {
      const taken = await runSansmqOn(runtime, ...args).finished;
      expect(taken.stderr).toMatch(/^sansmq: cannot listen: .*\b(EADDRINUSE|EADDRNOTAVAIL)\b.*\n$/);
      expect(taken.stderr).toContain(at);
      expect([taken.code, taken.stdout]).toEqual([1, ""]);
    }
  });

  test("--config is read, on Deno with permission to read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "sansmq.json");
    writeFileSync(file, JSON.stringify({ port: 0, wsPort: 0, wsPath: "/here" }));
    const [command, ...flags] = runtime;
    const withLeave = name === "Deno" ? [...flags, `--allow-read=${file}`] : flags;
    const broker = runSansmqOn([command, ...withLeave], "--config", file);
    await broker.says(/^sansmq listening \S+ ws:\S+\/here.*\n/);
  });

  test("an uncaught exception leaves a complete recording", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "r");
    const script = fileURLToPath(new URL("throws.mjs", import.meta.url));
    const [program, ...flags] = runtime;
    const withLeave =
      name === "Deno" ? [...flags, `--allow-read=${folder}`, `--allow-write=${folder}`] : flags;
    const memory = ["--store", "memory"];
    const anyPort = ["--port", "0", "--no-ws"];
    const broker = run(program, ...withLeave, script, ...anyPort, ...memory, "--record", file);
    const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+).*\n/);
    const client = await openSocket(tcp!);
    client.send(concat(connect(), subscribe(1, ["a", 1]), publish("a", "x", { qos: 1 })));
    await client.takes(4);
    broker.child.kill("SIGUSR2");
    expect((await broker.finished).code).not.toBe(0);
    const { stdout } = await runSansmq("replay", file).finished;
    expect(stdout).toMatch(/the output is the same as recorded\n$/);
    expect(stdout).not.toContain("incomplete");
  });

  test.each(["tcp", "ws", "recorded"] as const)(
    "after a crash the log has the events of that turn, then the error: %s",
    async (how) => {
      const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const file = join(folder, "r");
      const script = fileURLToPath(new URL("throws.mjs", import.meta.url));
      const [program, ...flags] = runtime;
      const permitted = name === "Deno" ? [...flags, "--allow-read", "--allow-write"] : flags;
      const args = [...anyPorts, "--store", "memory"];
      if (how === "recorded") args.push("--record", file);
      const broker = run(program, ...permitted, script, ...args);
      const [, tcp, ws] = await broker.says(/^sansmq listening (tcp:\S+) (ws:\S+).*\n/);
      const client = await openSocket(how === "ws" ? ws! : tcp!);
      client.send(concat(connect({ clientId: "c" }), publish("$SYS/no", "CRASH")));
      const { code, stderr } = await broker.finished;
      expect(code).toBe(1);
      const lines = stderr.split("\n").filter((line) => line.startsWith('{"@timestamp"'));
      expect(lines.map((line) => JSON.parse(line) as object).slice(1)).toMatchObject([
        { message: "connected", clientId: "c" },
        { message: "publish refused", clientId: "c", topic: "$SYS/no" },
        { level: "FATAL", message: "uncaught exception", error: { message: "thrown in a turn" } },
      ]);
      if (how !== "recorded") return;
      const { stdout } = await runSansmq("replay", file).finished;
      expect(stdout).toMatch(/the output is the same as recorded\n$/);
    },
  );

  test("the broker continues to serve when its log reader has exited", async () => {
    const { broker, addresses } = await serving();
    broker.child.stderr!.destroy();
    for (const clientId of ["first", "second", "third"]) {
      const client = await openSocket(addresses[0]!);
      client.send(connect({ clientId }));
      expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
    }
  });
});
