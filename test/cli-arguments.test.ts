import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { limitNames, limitTable } from "../core/mod.ts";
import { concat, connect, publish, subscribe } from "./support/packets.ts";
import { runSansmq } from "./support/process.ts";
import { configFile, newFolder, quiet, serving } from "./support/serving.ts";
import { openSocket } from "./support/socket-client.ts";

/** A setting with a wrong value in the configuration file, the field that the error names, and the flags that override it. */
const overridden: readonly (readonly [string, unknown, string, ...string[]])[] = [
  ["store", 5, "store", "--store", "memory"],
  ["host", ["::1", ""], "host", "--host", "localhost"],
  ["password", 1234, "password", "--username", "ada", "--password", "x"],
  ["logLevel", "loud", "logLevel", "--log-level", "silent"],
  ["ws", "no", "ws", "--no-ws"],
  ["recordPayloads", null, "recordPayloads", "--no-record-payloads"],
  ["durability", [{ filter: "a" }], "durability\\[0\\]\\.acknowledge", "--durability", "a=stored"],
  ["inflightMax", 0, "inflightMax", "--max-inflight", "20"],
  ["maxInflight", 0, "maxInflight", "--max-inflight", "20"],
];

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
    "a rule for durability without its kind": [
      () => ["--durability", "t/#"],
      /--durability: "t\/#" is not allowed; allowed is FILTER=stored or FILTER=received/,
    ],
    "a rule for durability with an invalid filter": [
      () => ["--durability", "a=stored", "--durability", "a#=received"],
      /--durability: "a#=received" is not allowed; allowed is FILTER=stored/,
    ],
    "a rule for durability with an invalid filter in the file": [
      () =>
        file(
          '{"durability": [{"filter": "a", "acknowledge": "stored"}, {"filter": "a#", "acknowledge": "stored"}]}',
        ),
      /^sansmq: durability\[1\]\.filter: "a#" is not allowed; allowed is a valid topic filter/,
    ],
    "a rule for durability with a misspelt name in the file": [
      () => file('{"durability": [{"filter": "a", "acknowlege": "stored"}]}'),
      /^sansmq: durability\[0\]\.acknowlege: unknown name; did you mean durability\[0\]\.acknowledge\?/,
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
    "a recording without a name": [
      () => ["--record", ""],
      /^sansmq: --record: "" is not allowed; allowed is a string that is not empty$/m,
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
    "a configuration file without a name": [
      () => ["--config", ""],
      /^sansmq: --config: "" is not allowed; allowed is a readable file \(/m,
    ],
    "a folder instead of a configuration file": [
      () => ["--config", newFolder()],
      /^sansmq: --config: "\S+" is not allowed; allowed is a readable file \(EISDIR/m,
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
      /^sansmq: password: the given value is not allowed; allowed is a string that is not empty$/m,
    ],
    "a wrong type in the file": [() => file('{"port": true}'), /^sansmq: port: true/],
    "a wrong limit in the file": [() => file('{"inflightMax": "20"}'), /inflightMax: "20"/],
    ...Object.fromEntries(
      overridden.map(([name, value, field, ...flags]) => [
        `a wrong ${name} in the file that ${flags[0]} overrides`,
        [
          () => [...file(JSON.stringify({ [name]: value })), ...flags],
          new RegExp(`^sansmq: ${field}: .* is not allowed`),
        ],
      ]),
    ),
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
