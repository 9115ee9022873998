/** Addresses on every runtime: of listeners, of clients, and of clients behind proxies. */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { needs } from "../support/needs.ts";
import { connect } from "../support/packets.ts";
import { openSocket } from "../support/socket-client.ts";

export interface Endpoint {
  readonly addresses: Readonly<Record<"tcp" | "ws", string>>;
  /** The `client` of each `authenticate` call and the `info` of each "connected" event, in order. */
  told(): Promise<readonly object[]>;
  stop(): Promise<void>;
}

/** `start` creates a broker with these options of `createBroker` and an `authenticate` that accepts every client. */
export function endpointSuite(start: (options: object) => Promise<Endpoint>): void {
  const started = async (options: object = {}): Promise<Endpoint> => {
    const endpoint = await start(options);
    onTestFinished(() => endpoint.stop());
    return endpoint;
  };

  describe("the address of a peer", () => {
    for (const [transport, host, to, remote] of [
      ["tcp", "127.0.0.1", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
      ["ws", "127.0.0.1", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
      ["tcp", "::1", "[::1]", /^\[::1\]:\d+$/],
      ["ws", "::1", "[::1]", /^\[::1\]:\d+$/],
      ["tcp", "::", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
      ["ws", "::", "127.0.0.1", /^127\.0\.0\.1:\d+$/],
    ] as const) {
      const needed = host.includes(":") ? needs("IPv6") : {};
      test(
        `over ${transport} to a listener at ${host}, by ${to}, is in the usual notation`,
        needed,
        async () => {
          const where = { host, port: 0 };
          const { addresses, told } = await started({ tcp: where, ws: where });
          const url = addresses[transport].replace(/\/\/(\[.*\]|[^:]*)/, `//${to}`);
          const client = await openSocket(url);
          client.send(connect());
          await client.takes(1);
          expect(await told()).toMatchObject([
            { client: { remote: expect.stringMatching(remote) } },
            { info: { transport, remote: expect.stringMatching(remote) } },
          ]);
        },
      );
    }
  });

  describe("the paths for WebSocket clients", () => {
    const at = async (ws: string, path: string, headers = {}): Promise<WebSocket> => {
      const socket = new WebSocket(new URL(path, ws), ["mqtt"], { headers });
      onTestFinished(() => socket.terminate());
      await once(socket, "open");
      return socket;
    };

    test("are the configured ones, with or without a final slash or a query", async () => {
      const path = ["/mqtt", "/", "/tenants/*"];
      const { addresses } = await started({ ws: { host: "127.0.0.1", port: 0, path } });
      for (const served of [
        "/mqtt",
        "/mqtt/",
        "/mqtt?a=b",
        "/",
        "/?a",
        "/tenants/7/",
        "/tenants",
      ]) {
        await at(addresses.ws, served);
      }
      for (const other of ["/mqtt/a", "/ws", "/tenant"]) {
        await expect(at(addresses.ws, other)).rejects.toThrow("404");
      }
    });

    test("are all paths, if configured so", async () => {
      const { addresses } = await started({ ws: { host: "127.0.0.1", port: 0, path: "/*" } });
      for (const served of ["/", "/mqtt", "/a/b?c"]) await at(addresses.ws, served);
    });

    test.each([{}, { connection: "upgrade", upgrade: "websocket" }])(
      "are listed in the answer to a request for another path, with the headers %j",
      async (headers) => {
        const { addresses } = await started({
          ws: { host: "127.0.0.1", port: 0, path: "/a,/b/*" },
        });
        const url = addresses.ws.replace(/^ws:(.*)\/a$/, "http:$1/else");
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          get(url, { headers }, resolve).on("error", reject);
        });
        expect(answer.statusCode).toBe(404);
        expect(answer.headers["content-type"]).toMatch(/^text\/plain;/);
        expect(await text(answer)).toBe("Not Found: MQTT over WebSocket is at /a, /b/*\n");
      },
    );
  });

  describe("a WebSocket client behind a proxy", () => {
    const headers = {
      "X-Forwarded-For": "198.51.100.1, 203.0.113.7",
      Cookie: "session=abc",
      "X-Many": ["a", "b"],
    };
    async function toldOf(options: object, given: object = headers, path = "/mqtt/?token=x") {
      const { addresses, told } = await started({ ws: { host: "127.0.0.1", port: 0 }, ...options });
      const socket = new WebSocket(new URL(path, addresses.ws), ["mqtt"], {
        headers: { ...given },
      });
      onTestFinished(() => socket.terminate());
      await once(socket, "open");
      socket.send(connect());
      await once(socket, "message");
      return { told: await told(), addresses };
    }

    test("has its own address if the proxy is trusted", async () => {
      const { told } = await toldOf({ trustedProxies: ["10.0.0.0/8", "127.0.0.1"] });
      expect(told).toMatchObject([
        { client: { remote: "203.0.113.7" } },
        { info: { transport: "ws", remote: "203.0.113.7" } },
      ]);
    });

    test("has the proxy's address if the proxy is not trusted", async () => {
      for (const trustedProxies of [[], "10.0.0.0/8,::1"]) {
        const { told } = await toldOf({ trustedProxies });
        const remote = expect.stringMatching(/^127\.0\.0\.1:\d+$/);
        expect(told).toMatchObject([{ client: { remote } }, { info: { remote } }]);
      }
    });

    test("is refused if it has both kinds of forwarding header", async () => {
      const both = { "X-Forwarded-For": "203.0.113.7", Forwarded: "for=198.51.100.1" };
      await expect(toldOf({ trustedProxies: "127.0.0.1" }, both)).rejects.toThrow("400");
      const { told } = await toldOf({ trustedProxies: "10.0.0.1" }, both);
      expect(told).toHaveLength(2);
    });

    test("passes its request to authenticate, and to no event", async () => {
      const { told, addresses } = await toldOf({});
      const [{ client }, { info }] = told as [Told, Told];
      expect(client).toMatchObject({
        request: {
          url: "/mqtt/?token=x",
          headers: {
            host: new URL(addresses.ws).host,
            cookie: "session=abc",
            "x-forwarded-for": "198.51.100.1, 203.0.113.7",
            "x-many": "a, b",
            "sec-websocket-protocol": "mqtt",
          },
        },
      });
      expect(JSON.stringify(info)).not.toMatch(/abc|token/);
    });

    test("has no request over TCP", async () => {
      const { addresses, told } = await started();
      const client = await openSocket(addresses.tcp);
      client.send(connect());
      await client.takes(1);
      expect(await told()).toMatchObject([{ client: { request: null } }, {}]);
    });
  });
}

interface Told {
  readonly client?: object;
  readonly info?: object;
}
