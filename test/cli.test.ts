/** The command as a server: addresses, codec, users, and the examples of the documentation. */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { networkTarget } from "./conformance/network-target.ts";
import * as wire from "./conformance/wire.ts";
import { concat, connect, publish, subscribe } from "./support/packets.ts";
import { missing } from "./support/peers.mjs";
import { run, runWithoutWasm } from "./support/process.ts";
import { configFile, quiet, served, serving } from "./support/serving.ts";
import { openSocket } from "./support/socket-client.ts";

test("prints its addresses in one line on standard output, and logs on standard error", async () => {
  const flags = ["--port", "0", "--ws-port", "0", "--ws-path", "/x"];
  const { broker, addresses, tcp, ws } = await serving(...flags);
  expect(tcp).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
  // TCP and WebSocket at each loopback address; a machine without IPv6 has one.
  expect(addresses).toHaveLength(missing("IPv6") === null ? 4 : 2);
  expect(ws).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/x$/);
  const client = await openSocket(tcp);
  client.send(connect({ clientId: "seen" }));
  const [line] = await broker.says(/^\{.*"clientId":"seen".*\}$/m);
  expect(JSON.parse(line)).toMatchObject({ message: "connected", level: "INFO", protocol: 4 });
  expect(broker.stdout.split("\n")).toHaveLength(2);
});

test("--ws-path and --trusted-proxies accept several values, separated by commas or in repeated flags", async () => {
  const paths = ["--ws-path", "/mqtt,/", "--ws-path", "/sub/*"];
  const proxies = ["--trusted-proxies", "10.0.0.0/8", "--trusted-proxies", "::1,127.0.0.1"];
  const flags = ["--host", "127.0.0.1", "--port", "0", "--ws-port", "0"];
  const { broker, addresses, ws } = await serving(...flags, ...paths, ...proxies);
  expect(addresses.slice(1).map((address) => new URL(address).pathname)).toEqual([
    "/mqtt",
    "/",
    "/sub/*",
  ]);
  for (const [n, path] of ["/mqtt/", "/", "/sub/a?token=secret"].entries()) {
    const headers = { "X-Forwarded-For": `203.0.113.${n}`, Cookie: "session=secret" };
    const socket = new WebSocket(new URL(path, ws), ["mqtt"], { headers });
    onTestFinished(() => socket.terminate());
    await once(socket, "open");
    socket.send(connect({ clientId: `c${n}` }));
    const [line] = await broker.says(new RegExp(`^\\{.*"clientId":"c${n}".*\\}$`, "m"));
    expect(JSON.parse(line)).toMatchObject({ transport: "ws", remote: `203.0.113.${n}` });
  }
  expect(broker.stderr).not.toContain("secret");
});

test("--no-ws listens for TCP only", async () => {
  expect((await serving("--port", "0", "--no-ws", "--log-level", "silent")).ws).toBeUndefined();
});

describe("the codec", () => {
  const flags = ["--port", "0", "--no-ws"];
  const codecOf = async ({ broker, tcp }: Awaited<ReturnType<typeof serving>>) => {
    const client = await openSocket(tcp);
    client.send(concat(connect(), subscribe(1, ["$SYS/broker/codec", 0])));
    const [, , line] = await client.takes(3);
    const [, logged] = await broker.says(/"message":"serving".*"codec":"([^"]+)"/);
    expect(line).toBe(`PUBLISH $SYS/broker/codec "${logged}" q0 retain`);
    return logged;
  };

  test("is in the log and in $SYS", async () => {
    expect(await codecOf(await serving(...flags))).toBe("wasm-simd");
    expect(await codecOf(await serving(...flags, "--codec", "wasm"))).toBe("wasm-simd");
    expect(await codecOf(await serving(...flags, "--codec", "ts"))).toBe("ts");
  });

  test("is TypeScript without WebAssembly, unless another codec is requested", async () => {
    expect(await codecOf(await served(runWithoutWasm(...flags)))).toBe("ts");
    const { code, stderr } = await runWithoutWasm(...flags, "--codec", "wasm").finished;
    expect(code).toBe(2);
    expect(stderr).toMatch(/^sansmq: codec: "wasm" is not allowed; .*WebAssembly is missing\n$/m);
  });
});

test("--server-reference refuses every client, and sends 5.0 clients the Server Reference", async () => {
  const file = configFile(JSON.stringify({ serverReference: "other.example:1883" }));
  for (const flags of [
    ["--server-reference", "other.example:1883"],
    ["--config", file],
  ]) {
    const { tcp } = await serving(...quiet, ...flags);
    const target = networkTarget({ url: tcp.replace("tcp", "mqtt"), user: null });
    const client = await target.connect();
    client.send(wire.connect(5, {}));
    const connack = wire.firstPacket((await client.read(4000)) as Uint8Array, 5)!;
    const told = [connack.reason, connack.props["ServerReference"]];
    expect(told).toEqual([0x9c, "other.example:1883"]);
    expect(await client.read(4000)).toBe(null);
    const old = await openSocket(tcp);
    old.send(connect());
    expect(await old.takes(1)).toEqual(["CONNACK present=0 code=3"]);
  }
});

test("--username and --password accept one user", async () => {
  const { tcp } = await serving(...quiet, "--username", "ada", "--password", "secret");
  for (const [fields, code] of [
    [{ username: "ada", password: "secret" }, 0],
    [{ username: "ada", password: "no" }, 4],
    [{}, 5],
  ] as const) {
    const client = await openSocket(tcp);
    client.send(connect(fields));
    expect(await client.takes(1)).toEqual([`CONNACK present=0 code=${code}`]);
  }
});

test("a process exits when its broker is closed", async () => {
  const library = new URL("../dist/adapters/node/mod.js", import.meta.url);
  const program = `import { createBroker } from "${library}";
    const broker = await createBroker({ tcp: { port: 0 }, ws: { port: 0 } });
    broker.publish("a", "x");
    await broker.close();
    broker.publish("a", "y");`;
  const { code, stderr } = await run(process.execPath, "--input-type=module", "-e", program)
    .finished;
  expect([code, stderr]).toEqual([0, ""]);
});

test("the example of the documentation runs", async () => {
  const path = fileURLToPath(new URL("../docs/examples/embed.mjs", import.meta.url));
  process.env["PORT"] = "0";
  const example = run(process.execPath, path);
  const [, tcp] = await example.says(/serving (tcp:\S+)/);
  const client = await openSocket(tcp!);
  client.send(connect({ clientId: "me", username: "ada", password: "lovelace" }));
  client.send(
    concat(subscribe(1, ["#", 0]), publish("ada/x", "mine"), publish("bob/x", "not mine")),
  );
  expect((await client.takes(4)).sort()).toEqual([
    "CONNACK present=0 code=0",
    'PUBLISH ada/x "mine" q0',
    'PUBLISH news/start "the broker is up" q0 retain',
    "SUBACK #1 0",
  ]);
  await example.says(/me is here\nada\/x: mine/);
  example.child.kill("SIGINT");
  expect((await example.finished).code).toBe(0);
});

test("the health check succeeds with a broker and fails without one", async () => {
  const path = fileURLToPath(new URL("../docs/deploy/healthcheck.mjs", import.meta.url));
  const { broker, tcp } = await serving(...quiet, "--username", "ada", "--password", "secret");
  const { port } = new URL(tcp);
  const healthy = await run(process.execPath, path, port).finished;
  expect([healthy.code, healthy.stdout]).toEqual([0, "serving\n"]);
  broker.child.kill("SIGTERM");
  await broker.finished;
  const gone = await run(process.execPath, path, port).finished;
  expect(gone.stdout).toMatch(/ECONNREFUSED/);
  expect(gone.code).toBe(1);
});
