/** A broker in the program's own HTTP server, and the requests that stay with the program. */
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import mqtt from "mqtt";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { ConnectingClient } from "../../adapters/auth/client-identity.ts";
import { type BrokerOptions, createBroker } from "../../adapters/node/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { connect, pingreq, publish } from "../support/packets.ts";
import { Recording } from "../support/recording.ts";
import { openSocket, openWs } from "../support/socket-client.ts";
import { transportSuite } from "./suite.ts";

async function served(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function program() {
  const server = createServer((request, response) => response.end(`you asked ${request.url}`));
  const at = await served(server);
  const text = async (path: string): Promise<string> => (await fetch(`http://${at}${path}`)).text();
  return { server, at, text };
}

async function start(options: BrokerOptions = {}) {
  const broker = await createBroker({ codec: codecKind, tcp: false, ...options });
  onTestFinished(() => broker.close(100));
  return broker;
}

transportSuite(
  {
    async start(limits = {}) {
      const broker = await createBroker({ codec: codecKind, tcp: false, limits });
      const { server, at } = await program();
      broker.attachWebSocket(server);
      return {
        addresses: { tcp: "", ws: `ws://${at}/mqtt` },
        counters: () => broker.counters,
        stop: () => broker.close(2000),
      };
    },
  },
  ["ws"],
);

describe("a broker in the program's own HTTP server", () => {
  test("serves HTTP requests and MQTT.js side by side", async () => {
    const { server, at, text } = await program();
    const broker = await start();
    broker.attachWebSocket(server, { path: "/broker" });
    const client = await mqtt.connectAsync(`ws://${at}/broker?token=1`, { reconnectPeriod: 0 });
    onTestFinished(() => void client.end(true));
    await client.subscribeAsync("a", { qos: 1 });
    const came = new Promise<string>((resolve) => {
      client.on("message", (_, payload) => resolve(payload.toString()));
    });
    expect(await text("/broker")).toBe("you asked /broker");
    await client.publishAsync("a", "by WebSocket", { qos: 1 });
    expect(await came).toBe("by WebSocket");
    expect(await text("/else")).toBe("you asked /else");
    expect(broker.addresses).toEqual([]);
  });

  test("leaves other upgrades to the program, whichever handler was added first", async () => {
    const { server, at } = await program();
    const chat = new WebSocketServer({ noServer: true });
    chat.on("connection", (socket) => socket.close(4000));
    const broker = await start();
    const onUpgrade = (...[request, socket, head]: [IncomingMessage, Duplex, Buffer]) => {
      if (request.url !== "/chat") return;
      chat.handleUpgrade(request, socket, head, (made) => chat.emit("connection", made, request));
    };
    const detach = broker.attachWebSocket(server);
    server.on("upgrade", onUpgrade);
    expect(await (await openWs(`ws://${at}/chat`, [])).closed).toBe(4000);
    detach();
    broker.attachWebSocket(server);
    expect(await (await openWs(`ws://${at}/chat`, [])).closed).toBe(4000);
    const client = await openWs(`ws://${at}/mqtt`, ["mqtt"]);
    client.send(connect());
    expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
    client.destroy();
  });

  test("brokers share a server by their paths, and a path without a broker is refused once", async () => {
    const { server, at } = await program();
    const [one, two] = [await start(), await start()];
    one.attachWebSocket(server, { path: "/one" });
    two.attachWebSocket(server, { path: "/two" });
    for (const [path, broker] of [
      ["/one", one],
      ["/two", two],
    ] as const) {
      const client = await openWs(`ws://${at}${path}`, ["mqtt"]);
      client.send(connect());
      await client.takes(1);
      expect(broker.counters.clientsConnected).toBe(1);
      client.destroy();
    }
    await expect(openWs(`ws://${at}/three`, ["mqtt"])).rejects.toThrow("404");
  });

  test("a broker serves several paths, and the refusal of another path lists them", async () => {
    const { server, at } = await program();
    const [one, two] = [await start(), await start()];
    one.attachWebSocket(server, { path: ["/one", "/uno/*"] });
    two.attachWebSocket(server, { path: "/two" });
    for (const path of ["/one/", "/uno", "/uno/a"])
      (await openWs(`ws://${at}${path}`, ["mqtt"])).destroy();
    expect(one.counters.connectionsOpened).toBe(3);
    const socket = new WebSocket(`ws://${at}/three`, ["mqtt"]);
    const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
    expect(await text(response)).toBe("Not Found: MQTT over WebSocket is at /one, /uno/*, /two\n");
  });

  test("a client behind a trusted proxy has its own address, and the policy receives its request", async () => {
    const { server, at } = await program();
    const recording = new Recording();
    const asked: unknown[] = [];
    const broker = await start({
      trustedProxies: ["127.0.0.1"],
      record: recording.recorder,
      authenticate: ({ remote, request }) => {
        asked.push([remote, request?.url, request?.headers["authorization"]]);
        return Promise.resolve(true);
      },
      authorizePublish: (client) => {
        const { request } = client as ConnectingClient;
        return asked.push([client.remote, request]) > 0;
      },
    });
    broker.attachWebSocket(server);
    const headers = { Forwarded: 'for="[2001:db8::7]:4711"', Authorization: "Bearer secret-1" };
    const socket = new WebSocket(`ws://${at}/mqtt?secret=2`, ["mqtt"], { headers });
    onTestFinished(() => socket.terminate());
    await once(socket, "open");
    const connected = new Promise((resolve) => broker.on("connected", resolve));
    socket.send(connect({ password: "secret-3", username: "u" }));
    await connected;
    socket.send(publish("a", "x", { qos: 1 }));
    await expect.poll(() => broker.counters.publishesReceived).toBe(1);
    expect(asked).toEqual([
      ["[2001:db8::7]:4711", "/mqtt?secret=2", "Bearer secret-1"],
      ["[2001:db8::7]:4711", null],
    ]);
    await broker.close(100);
    const bytes = Buffer.from(recording.bytes).toString("latin1");
    expect(bytes).toContain("[2001:db8::7]:4711");
    expect(bytes).not.toContain("secret");
    const { steps } = recording.replays();
    for (let until = 0; until <= steps; until++) {
      expect(JSON.stringify(recording.replays({ until }).state)).not.toContain("secret");
    }
  });

  test("accepts a proxy that connects by a Unix socket", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "sansmq-")), "socket");
    const server = createServer();
    await new Promise<void>((done) => server.listen(path, done));
    onTestFinished(() => void server.close());
    const remotes: string[] = [];
    for (const trustedProxies of [[], ["unix"]]) {
      const broker = await start({ trustedProxies });
      const connected = new Promise<string>((resolve) => {
        broker.on("connected", ({ info }) => resolve(info.remote));
      });
      const detach = broker.attachWebSocket(server);
      const socket = new WebSocket(`ws+unix://${path}:/mqtt`, ["mqtt"], {
        headers: { "X-Forwarded-For": "203.0.113.7" },
      });
      onTestFinished(() => socket.terminate());
      await once(socket, "open");
      socket.send(connect());
      remotes.push(await connected);
      detach();
    }
    expect(remotes).toEqual(["unix", "203.0.113.7"]);
  });

  test("if two brokers have the same path, the first serves, and no upgrade is handled twice", async () => {
    const { server, at } = await program();
    const [one, two] = [await start(), await start()];
    for (const broker of [one, one, two]) broker.attachWebSocket(server);
    const told = new Promise((resolve) => {
      server.on("upgrade", (request, socket, head) => {
        try {
          resolve(two.handleUpgrade(request, socket, head));
        } catch (error) {
          resolve(error);
        }
      });
    });
    const client = await openSocket(`ws://${at}/mqtt`);
    client.send(connect());
    expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
    expect([one, two].map(({ counters }) => counters.clientsConnected)).toEqual([1, 0]);
    expect(await told).toMatchObject({ name: "ConfigError", field: "socket" });
  });

  test("[MQTT311-6.0.0-4] [MQTT-6.0.0-4] chooses the subprotocol as a broker's own server does", async () => {
    const { server, at } = await program();
    (await start()).attachWebSocket(server);
    const client = await openWs(`ws://${at}/mqtt`, ["other", "mqttv3.1"]);
    expect(client.socket.protocol).toBe("mqttv3.1");
    client.destroy();
    await expect(openWs(`ws://${at}/mqtt`, ["other"])).rejects.toThrow("400");
  });

  test("closing the broker ends its clients and leaves the server as it was", async () => {
    const { server, at, text } = await program();
    const broker = await start();
    broker.attachWebSocket(server);
    const client = await openWs(`ws://${at}/mqtt`, ["mqtt"]);
    client.send(connect());
    await client.takes(1);
    await broker.close(500);
    expect(await client.closed).toBe(1000);
    expect(server.listenerCount("upgrade")).toBe(0);
    expect(await text("/")).toBe("you asked /");
  });

  test("a detached broker accepts no new client, and keeps the connected ones", async () => {
    const { server, at } = await program();
    const detach = (await start()).attachWebSocket(server);
    const client = await openSocket(`ws://${at}/mqtt`);
    client.send(connect());
    await client.takes(1);
    detach();
    client.send(pingreq);
    expect(await client.takes(1)).toEqual(["PINGRESP"]);
    expect(server.listenerCount("upgrade")).toBe(0);
  });

  describe("an upgrade that the program passes to the broker", () => {
    async function offering(options: BrokerOptions, localAddress: string | null = null) {
      const { server, at } = await program();
      const broker = await start(options);
      server.on("upgrade", (request, socket, head) => {
        if (localAddress !== null) {
          Object.defineProperty(request.socket, "localAddress", { value: localAddress });
        }
        broker.handleUpgrade(request, socket, head);
      });
      return { broker, address: `ws://${at}/tenants/7` };
    }

    test("is served at any path", async () => {
      const { address } = await offering({});
      const client = await openSocket(address);
      client.send(connect());
      expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
    });

    test.each(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])(
      "at %s needs no users",
      async (local) => {
        const { address } = await offering({}, local);
        (await openWs(address, ["mqtt"])).destroy();
      },
    );

    test.each(["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"])(
      "at %s is refused with 403 unless the broker has users or allows anonymous clients",
      async (local) => {
        const { address } = await offering({}, local);
        await expect(openWs(address, ["mqtt"])).rejects.toThrow("403");
        for (const options of [{ allowAnonymous: true }, { users: { a: "b" } }]) {
          (await openWs((await offering(options, local)).address, ["mqtt"])).destroy();
        }
      },
    );

    test("is refused with 503 once the broker closes", async () => {
      const { broker, address } = await offering({});
      await broker.close();
      await expect(openWs(address, ["mqtt"])).rejects.toThrow("503");
    });
  });
});
