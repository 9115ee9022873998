import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { limitNames, limitTable } from "../core/mod.ts";
import { networkTarget } from "./conformance/network-target.ts";
import * as wire from "./conformance/wire.ts";
import { concat, connect, publish, subscribe } from "./support/packets.ts";
import { missing } from "./support/peers.mjs";
import { type Running, run, runSansmq, runWithoutWasm } from "./support/process.ts";
import { openSocket } from "./support/socket-client.ts";

const quiet = ["--port", "0", "--ws-port", "0", "--log-level", "silent"] as const;

function serving(...args: string[]) {
  return served(runSansmq(...args));
}

async function served(broker: Running) {
  const [, told] = await broker.says(/^sansmq listening (.*)\n/);
  const addresses = told!.split(" ");
  const [tcp, ws] = ["tcp:", "ws:"].map((start) => addresses.find((one) => one.startsWith(start)));
  return { broker, addresses, tcp: tcp!, ws };
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function configFile(content: string): string {
  const path = join(newFolder(), "sansmq.json");
  writeFileSync(path, content);
  return path;
}

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

describe("exits with 2 and one line on standard error for", () => {
  const file = (content: string): string[] => ["--config", configFile(content)];
  const wrong: Record<string, readonly [() => string[], RegExp]> = {
    "a misspelt flag": [() => ["--prot", "1"], /unknown option '--prot'.*--help/],
    "an argument too many": [() => ["serve"], /too many arguments.*--help/],
    "a flag without its value": [() => ["--port"], /'--port <n>' argument missing/],
    "a port that is not a number": [
      () => ["--port", "x"],
      /--port: "x" is not allowed; .* 0 to 65535/,
    ],
    "a port above 65535": [() => ["--ws-port", "65536"], /--ws-port: "65536" is not allowed/],
    "a WebSocket path without a slash": [
      () => ["--ws-path", "mqtt"],
      /--ws-path: "mqtt" is not allowed/,
    ],
    "an invalid path among several": [
      () => ["--ws-path", "/a", "--ws-path", "/b,/c*"],
      /--ws-path: "\/c\*" is not allowed; .*\/mqtt/,
    ],
    "an invalid path in the file": [() => file('{"wsPath": ["/a", 1]}'), /wsPath: 1 is not/],
    "an invalid proxy": [
      () => ["--trusted-proxies", "127.0.0.1,proxy"],
      /--trusted-proxies: "proxy" is not allowed; .*addresses/,
    ],
    "an invalid range of proxies": [
      () => file('{"trustedProxies": ["10.0.0.0/40"]}'),
      /trustedProxies: "10.0.0.0\/40" is not allowed/,
    ],
    "a limit out of range": [() => ["--max-inflight", "0"], /--max-inflight: 0 .* from 1 to 65535/],
    "a limit that is not a number": [() => ["--max-sessions", "many"], /--max-sessions: "many"/],
    "an unknown codec": [() => ["--codec", "fast"], /--codec: "fast" .*auto, wasm, ts/],
    "an unknown log level": [() => ["--log-level", "loud"], /--log-level: "loud" .*silent/],
    "a password without a user name": [
      () => ["--password", "x"],
      /^sansmq: --username: missing; --password needs it$/m,
    ],
    "a network address without users": [
      () => ["--host", "0.0.0.0"],
      /--host: "0.0.0.0" .*loopback.* --username and --password or with --allow-anonymous/,
    ],
    "a network address among several, without users": [
      () => file('{"host": ["::1", "192.0.2.1"]}'),
      /^sansmq: host: "192.0.2.1" .*loopback/,
    ],
    "an empty address": [
      () => file('{"host": []}'),
      /^sansmq: host: "\[\]" .* one or more addresses/m,
    ],
    "an address that is not a text": [
      () => file('{"host": [1]}'),
      /^sansmq: host: 1 is not allowed/,
    ],
    "an invalid size limit of a recording": [
      () => ["--record-max-bytes", "9"],
      /--record-max-bytes: "9" .* from 1048576 to/,
    ],
    "a recording in a folder that does not exist": [
      () => ["--record", "/nowhere/r"],
      /--record: "\/nowhere\/r" .* writable file \(ENOENT/,
    ],
    "a recording that is a folder": [
      () => ["--record", newFolder()],
      /--record: ".*" .* writable file \(EISDIR/,
    ],
    "a replay without a file": [() => ["replay"], /missing required argument 'file'/],
    "a replay of a file that does not exist": [
      () => ["replay", "/nowhere"],
      /file: "\/nowhere" .* readable file \(ENOENT/,
    ],
    "a replay of a file that is not a recording": [
      () => ["replay", configFile("{}")],
      /file: ".*" .* a recording \(it is not a recording of sansmq\)/,
    ],
    "a replay until a step that is not a number": [
      () => ["replay", "--until", "soon", "/nowhere"],
      /--until: "soon" is not allowed/,
    ],
    "a configuration file that does not exist": [
      () => ["--config", "/nowhere"],
      /--config: "\/nowhere".*ENOENT/,
    ],
    "a configuration file that is not JSON: the message has the place, and no text of the file": [
      () => file('{\n  "password": "hush"\n  "port": 1\n}'),
      /^sansmq: --config: \S+ is not allowed; allowed is a JSON file \(invalid JSON at line 3, column 3\)$/m,
    ],
    "an unknown flag with a value, which may be a secret and is not shown": [
      () => ["--pasword=hush's"],
      /^sansmq: unknown option '--pasword'; see sansmq --help$/m,
    ],
    "an unknown short flag with a value, which is not shown": [
      () => ["-phush"],
      /^sansmq: unknown option '-p'; see/m,
    ],
    "a too long password, which is not shown": [
      () => file(JSON.stringify({ username: "u", password: "hush".repeat(20_000) })),
      /^sansmq: password: the given value is not allowed; allowed is a string of at most/m,
    ],
    "a configuration file that is not an object": [
      () => file("[1]"),
      /--config: .* one JSON object/,
    ],
    "an unknown name in the file": [
      () => file('{"prot": 1}'),
      /^sansmq: prot: unknown name; did you mean port\?$/m,
    ],
    "an unknown limit in the file": [
      () => file('{"packetByteMax": 500}'),
      /^sansmq: packetByteMax: unknown name; did you mean maxPacketBytes\?$/m,
    ],
    "a name in the file that resembles no option, whose value is not shown": [
      () => file('{"secret": "xyzzy"}'),
      /^sansmq: secret: unknown name; sansmq --help lists all settings$/m,
    ],
    "an invalid password, which is not shown": [
      () => file('{"username": "ada", "password": 1234}'),
      /^sansmq: password: the given value is not allowed; allowed is a string$/m,
    ],
    "a wrong type in the file": [() => file('{"port": true}'), /^sansmq: port: true/],
    "a wrong limit in the file": [() => file('{"inflightMax": "20"}'), /inflightMax: "20"/],
  };
  test.each(Object.entries(wrong))("%s", async (_, [args, message]) => {
    const { code, stdout, stderr } = await runSansmq(...args()).finished;
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toContain("hush");
  });
});

test("exits with 1 and one line for a port in use or an address of another machine", async () => {
  const { tcp } = await serving(...quiet);
  const { port } = new URL(tcp);
  for (const where of [
    ["--port", port],
    ["--port", "0", "--ws-port", port],
    ["--host", "192.0.2.1", "--allow-anonymous"],
    ["--host", "localhost", "--host", "2001:db8::1", "--allow-anonymous"],
  ]) {
    const { code, stderr } = await runSansmq(...where).finished;
    expect(stderr).toMatch(/^sansmq: cannot listen: .*(EADDRINUSE|EADDRNOTAVAIL).*\n$/);
    expect(code).toBe(1);
  }
});

test("--version and --help print on standard output and exit 0; help names every limit", async () => {
  const version = await runSansmq("--version").finished;
  expect([version.code, version.stdout]).toEqual([0, "0.1.0\n"]);
  const help = await runSansmq("--help").finished;
  expect(help.code).toBe(0);
  for (const name of limitNames) {
    const kebab = (text: string): string => text.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
    const flag = name.endsWith("Max") ? `--max-${kebab(name.slice(0, -3))}` : `--${kebab(name)}`;
    expect(help.stdout).toContain(`${flag} <n>`);
    expect(help.stdout.replaceAll(/\s+/g, " ")).toContain(`default: ${limitTable[name].default})`);
  }
});

test("a file may begin with a byte order mark", async () => {
  await serving("--config", configFile('\ufeff{"port": 0, "ws": false, "logLevel": "silent"}'));
});

test("flags override the file, and the file overrides the defaults", async () => {
  const config = configFile(
    JSON.stringify({ port: 0, wsPort: 0, packetBytesMax: 300, sysMillis: 0, logLevel: "silent" }),
  );
  const { tcp } = await serving("--config", config, "--max-packet-bytes", "200");
  const client = await openSocket(tcp);
  client.send(concat(connect(), publish("a", new Uint8Array(250))));
  await client.closed;
  const other = await openSocket((await serving("--config", config)).tcp);
  other.send(concat(connect(), subscribe(1, ["a", 0]), publish("a", new Uint8Array(250))));
  await other.takes(3);
});

test("accepts the configuration file of the documentation, in which a limit has the name of its flag", async () => {
  const operations = readFileSync(new URL("../docs/OPERATIONS.md", import.meta.url), "utf8");
  const [, example] = /^```json\n(.*?)^```$/ms.exec(operations)!;
  const config = configFile(example!);
  await serving("--config", config, "--host", "127.0.0.1", "--port", "0", "--no-ws");
  const { stderr } = await runSansmq("--config", configFile('{"maxInflight": 0}')).finished;
  expect(stderr).toMatch(/^sansmq: maxInflight: 0 is not allowed/);
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
