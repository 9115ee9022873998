/** Where a broker listens: the command on real sockets, and the library on machines without some address or port. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import type { BrokerOptions } from "../adapters/broker-options.ts";
import { BrokerServer } from "../adapters/broker-server.ts";
import { type ListeningRuntime, listen } from "../adapters/listen.ts";
import { localRuntime } from "../adapters/local/bare-broker.ts";
import { needs } from "./support/needs.ts";
import { connect } from "./support/packets.ts";
import { runSansmq } from "./support/process.ts";
import { openSocket } from "./support/socket-client.ts";

const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
afterAll(() => rmSync(folder, { recursive: true }));

function hostsOf(addresses: readonly string[]): string[] {
  return addresses.map((address) => /^(\w+:\/\/.*?):\d+(\/mqtt)?$/.exec(address)![1]!);
}

describe("the command's --host", needs("IPv6"), () => {
  const anyPort = ["--port", "0", "--ws-port", "0", "--log-level", "silent"];
  const file = join(folder, "sansmq.json");
  writeFileSync(file, '{"host": ["127.0.0.1", "::1"]}');
  const serving = async (...args: string[]): Promise<string[]> => {
    const [, told] = await runSansmq(...anyPort, ...args).says(/^sansmq listening (.*) store .*\n/);
    return told!.split(" ");
  };

  test.each([
    ["by default", []],
    ["localhost", ["--host", "localhost"]],
    ["both loopback addresses", ["--host", "127.0.0.1", "--host", "[::1]"]],
    ["with a comma", ["--host", "127.0.0.1,::1"]],
    ["with the file", ["--config", file]],
  ])(
    "serves 127.0.0.1 and ::1 with one port for TCP and one for WebSocket: %s",
    async (_, args) => {
      const addresses = await serving(...args);
      const served = ["tcp://127.0.0.1", "ws://127.0.0.1", "tcp://[::1]", "ws://[::1]"];
      expect(hostsOf(addresses)).toEqual(served);
      const [tcp, ws, ...others] = addresses.map((address) => new URL(address).port);
      expect(others).toEqual([tcp, ws]);
      for (const address of addresses) {
        const client = await openSocket(address);
        client.send(connect());
        expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
      }
    },
  );

  test("serves a given loopback address, and not the other one", async () => {
    const addresses = await serving("--host", "::1");
    expect(hostsOf(addresses)).toEqual(["tcp://[::1]", "ws://[::1]"]);
    const { port } = new URL(addresses[0]!);
    await expect(openSocket(`tcp://127.0.0.1:${port}`)).rejects.toThrow("ECONNREFUSED");
  });

  test("opens only :: if 0.0.0.0 is given too, because :: accepts both", async () => {
    const args = ["--host", "0.0.0.0", "--host", "::", "--allow-anonymous"];
    const addresses = await serving(...args);
    expect(hostsOf(addresses)).toEqual(["tcp://[::]", "ws://[::]"]);
    const { port } = new URL(addresses[0]!);
    for (const host of ["127.0.0.1", "[::1]"]) await openSocket(`tcp://${host}:${port}`);
  });

  test("opens 0.0.0.0 and ::1 if localhost and 0.0.0.0 are given", async () => {
    const args = ["--host", "0.0.0.0", "--host", "localhost", "--allow-anonymous"];
    const served = ["tcp://0.0.0.0", "ws://0.0.0.0", "tcp://[::1]", "ws://[::1]"];
    expect(hostsOf(await serving(...args))).toEqual(served);
  });
});

describe("a broker of the library", () => {
  const both = { tcp: { port: 0 }, ws: { port: 0 } };

  /** Starts a broker on a runtime whose attempts to listen fail with the code that `fault` returns; null: they succeed. */
  async function listens(
    options: BrokerOptions,
    fault: (host: string, port: number) => string | null = () => null,
  ) {
    let nextPort = 40_000;
    const open = new Set<string>();
    const listener = (scheme: string, host: string, asked: number) => {
      const code = fault(host, asked);
      if (code !== null) return Promise.reject(Object.assign(new Error("no"), { code }));
      const port = asked === 0 ? nextPort++ : asked;
      const address = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
      open.add(address);
      const close = () => Promise.resolve(void open.delete(address));
      return Promise.resolve({ addresses: [address], port, close });
    };
    const runtime: ListeningRuntime = {
      ...localRuntime(),
      listenTcp: (_, { host, port }) => listener("tcp", host, port),
      listenWebSocket: (_, { host, port }) => listener("ws", host, port),
    };
    const broker = await listen(
      runtime,
      options,
      (inner) => new BrokerServer(runtime, inner),
    ).catch((error: Error) => error);
    if (broker instanceof BrokerServer) onTestFinished(() => broker.close(100));
    return { broker, addresses: "addresses" in broker ? broker.addresses : null, open };
  }

  test("listens by default at ports 1883 and 8083 of both loopback addresses", async () => {
    expect((await listens({ ws: {} })).addresses).toEqual([
      ...["tcp://127.0.0.1:1883", "ws://127.0.0.1:8083", "tcp://[::1]:1883", "ws://[::1]:8083"],
    ]);
  });

  test.each(["EADDRNOTAVAIL", "EAFNOSUPPORT"])(
    "leaves out ::1 on a machine without it: %s",
    async (code) => {
      const noIPv6 = (host: string) => (host === "::1" ? code : null);
      const hosts = ["tcp://127.0.0.1", "ws://127.0.0.1"];
      for (const options of [both, { tcp: { port: 0, host: "LocalHost" }, ws: both.ws }]) {
        expect(hostsOf((await listens(options, noIPv6)).addresses!)).toEqual(hosts);
      }
      const noIPv4 = (host: string) => (host === "127.0.0.1" ? code : null);
      expect(hostsOf((await listens(both, noIPv4)).addresses!)).toEqual([
        "tcp://[::1]",
        "ws://[::1]",
      ]);
    },
  );

  test("does not start if the machine lacks an address that was given by itself", async () => {
    const noIPv6 = (host: string) => (host === "::1" ? "EADDRNOTAVAIL" : null);
    for (const host of ["::1", ["localhost", "::1"], ["::1", "localhost"]]) {
      const { broker, open } = await listens({ tcp: { port: 1883, host } }, noIPv6);
      expect(broker).toMatchObject({ message: "[::1]:1883: EADDRNOTAVAIL: no" });
      expect(open.size).toBe(0);
    }
    const { broker } = await listens({}, () => "EADDRNOTAVAIL");
    expect(broker).toMatchObject({ message: "127.0.0.1:1883: EADDRNOTAVAIL: no" });
  });

  test("does not start if its port is in use at one of its addresses, and closes the others", async () => {
    const isTaken = (host: string, port: number) =>
      host === "::1" && port === 8083 ? "EADDRINUSE" : null;
    const { broker, open } = await listens({ ws: {} }, isTaken);
    expect(broker).toMatchObject({ message: "[::1]:8083: EADDRINUSE: no" });
    expect(open.size).toBe(0);
  });

  test("chooses another free port if the first one is in use at the second address", async () => {
    const isTaken = (host: string, port: number) =>
      host === "::1" && port < 40_003 ? "EADDRINUSE" : null;
    const { addresses, open } = await listens({ tcp: { port: 0 } }, isTaken);
    expect(addresses).toEqual(["tcp://127.0.0.1:40003", "tcp://[::1]:40003"]);
    expect(Array.from(open)).toEqual(addresses);
    const { broker } = await listens({ tcp: { port: 0 } }, (host) =>
      host === "::1" ? "EADDRINUSE" : null,
    );
    expect(broker).toMatchObject({ code: "EADDRINUSE" });
  });

  test.each<[host: string | string[], opened: string[]]>([
    [
      ["0.0.0.0", "localhost"],
      ["0.0.0.0", "[::1]"],
    ],
    [["127.0.0.1", "0.0.0.0", "192.0.2.1", "::ffff:192.0.2.2"], ["0.0.0.0"]],
    [
      ["0.0.0.0", "2001:db8::1"],
      ["0.0.0.0", "[2001:db8::1]"],
    ],
    [["localhost", "::", "2001:db8::1", "fe80::1%eth0", "0.0.0.0", "192.0.2.1", "here"], ["[::]"]],
    [["[0::0]", "::1"], ["[0::0]"]],
    ["127.0.0.1,::1", ["127.0.0.1", "[::1]"]],
    [
      ["127.0.0.1, [::1]", "127.0.0.2"],
      ["127.0.0.1", "[::1]", "127.0.0.2"],
    ],
  ])("opens no address that another address includes: %j", async (host, opened) => {
    const { addresses } = await listens({ tcp: { port: 1, host }, allowAnonymous: true });
    expect(addresses).toEqual(opened.map((address) => `tcp://${address}:1`));
  });

  test.each(["127.0.0.1,", "", ",::1"])("accepts no empty address: %j", async (host) => {
    const { broker, open } = await listens({ tcp: { port: 1, host } });
    expect(broker).toMatchObject({ name: "ConfigError", field: "tcp.host", value: "" });
    expect(open.size).toBe(0);
  });

  test("opens each address once, in the order of the option, and its own for WebSocket", async () => {
    const tcp = { port: 1, host: ["[::1]", "localhost", "127.0.0.1"] };
    const { addresses } = await listens({ tcp, ws: { port: 2, host: "127.0.0.2" } });
    expect(addresses).toEqual(["tcp://[::1]:1", "ws://127.0.0.2:2", "tcp://127.0.0.1:1"]);
  });

  test("does not serve anonymous clients at network addresses unless that is allowed", async () => {
    const tcp = { port: 0, host: ["127.0.0.1", "192.0.2.1"] };
    const { broker, open } = await listens({ tcp });
    expect(broker).toMatchObject({ name: "ConfigError", field: "host", value: "192.0.2.1" });
    expect(open.size).toBe(0);
    const users = { ada: "lovelace" };
    for (const who of [{ users }, { authenticate: () => true }, { allowAnonymous: true }]) {
      expect((await listens({ tcp, ...who })).addresses).toHaveLength(2);
    }
  });
});
