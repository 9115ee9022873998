import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { type AddressInfo, connect as connectTcp, createServer, Socket } from "node:net";
import { Duplex } from "node:stream";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type BrokerOptions, createBroker } from "../../adapters/node/mod.ts";
import { readShared } from "../../adapters/node/shared-read.ts";
import type { Store } from "../../adapters/storage/store.ts";
import { codecKind } from "../support/codecs.ts";
import { concat, connect, disconnect, pingreq, publish, subscribe } from "../support/packets.ts";
import { openSocket, openWs } from "../support/socket-client.ts";
import { endpointSuite } from "./endpoint-suite.ts";
import { messagesSuite } from "./messages-suite.ts";
import { serverSuite, type Target, transportSuite } from "./suite.ts";

async function start(options: BrokerOptions = {}) {
  const broker = await createBroker({
    codec: codecKind,
    tcp: { port: 0 },
    ws: { port: 0 },
    ...options,
  });
  onTestFinished(() => broker.close(100));
  const [tcp, ws] = broker.addresses as [string, string];
  return { broker, tcp, ws };
}

const target: Target = {
  async start(limits = {}) {
    const broker = await createBroker({
      codec: codecKind,
      tcp: { port: 0 },
      ws: { port: 0 },
      limits,
    });
    const [tcp, ws] = broker.addresses as [string, string];
    return {
      addresses: { tcp, ws },
      counters: () => broker.counters,
      stop: () => broker.close(2000),
    };
  },
};

transportSuite(target);
serverSuite(target);
messagesSuite(target);
endpointSuite(async (options) => {
  const told: object[] = [];
  const broker = await createBroker({
    codec: codecKind,
    tcp: { port: 0 },
    ws: { port: 0 },
    authenticate: (client) => told.push({ client: { ...client } }) > 0,
    ...options,
  });
  broker.on("connected", ({ info }) => told.push({ info }));
  const [tcp, ws] = broker.addresses as [string, string];
  return { addresses: { tcp, ws }, told: async () => told, stop: () => broker.close(100) };
});

describe("WebSocket", () => {
  test("[MQTT311-6.0.0-1] [MQTT-6.0.0-1] a text frame closes the connection with code 1003", async () => {
    const { ws } = await start();
    const client = await openWs(ws, ["mqtt"]);
    client.send(connect());
    await client.takes(1);
    client.send("text");
    expect(await client.closed).toBe(1003);
  });

  test("[MQTT311-6.0.0-4] [MQTT-6.0.0-4] answers with the chosen subprotocol", async () => {
    const { ws } = await start();
    for (const [offered, chosen] of [
      [["mqtt"], "mqtt"],
      [["mqttv3.1"], "mqttv3.1"],
      [["mqttv3.1.1"], "mqttv3.1.1"],
      [["other", "mqtt"], "mqtt"],
      [["mqttv3.1", "mqtt"], "mqttv3.1"],
      [[], ""],
    ] as const) {
      const client = await openWs(ws, [...offered]);
      expect(client.socket.protocol).toBe(chosen);
      client.destroy();
    }
    await expect(openWs(ws, ["other"])).rejects.toThrow("400");
  });

  test("answers another path with 404 and a plain request with 426", async () => {
    const { ws } = await start({ ws: { port: 0, path: "/here" } });
    await expect(openWs(ws.replace("/here", "/mqtt"), ["mqtt"])).rejects.toThrow("404");
    const status = (path: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const url = new URL(path, ws.replace("ws:", "http:"));
        request(url, (response) => resolve(response.resume().statusCode))
          .on("error", reject)
          .end();
      });
    expect(await status("/here")).toBe(426);
    expect(await status("/")).toBe(404);
  });

  test("closing the broker cuts off connections before their WebSocket handshake", async () => {
    const { broker, ws } = await start();
    const sockets = Array.from({ length: 3 }, () => connectTcp(Number(new URL(ws).port)));
    const closed = sockets.map((socket) =>
      once(
        socket.on("error", () => {}),
        "close",
      ),
    );
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    sockets[0]!.write("GET /mqtt HTTP/1.1\r\nHost: x\r\n");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await broker.close();
    await Promise.all(closed);
  }, 5000);

  test("a refused handshake leaves no socket behind", async () => {
    const { ws, broker } = await start();
    const { port } = new URL(ws);
    const socket = connectTcp({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
    onTestFinished(() => void socket.destroy());
    const headers = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket";
    socket.write(`GET /elsewhere HTTP/1.1\r\n${headers}\r\n\r\n`);
    await once(socket.resume(), "end");
    // A write to a closed connection causes a reset.
    const reset = new Promise((resolve) => socket.once("error", resolve));
    const writes = setInterval(() => socket.write("x"), 10);
    onTestFinished(() => clearInterval(writes));
    expect(await reset).toMatchObject({ code: expect.stringMatching(/EPIPE|ECONNRESET/) });
    expect(broker.counters.connectionsOpened).toBe(0);
  });

  test("negotiates no compression", async () => {
    const { ws } = await start();
    const client = await openWs(ws, ["mqtt"]);
    expect(client.socket.extensions).toBe("");
    client.destroy();
  });

  test("TCP and WebSocket clients exchange messages", async () => {
    const { tcp, ws } = await start();
    const reader = await openSocket(ws);
    reader.send(concat(connect({ clientId: "r" }), subscribe(1, ["a", 0])));
    await reader.takes(2);
    const publisher = await openSocket(tcp);
    publisher.send(concat(connect({ clientId: "p" }), publish("a", "x")));
    expect(await reader.takes(1)).toEqual(['PUBLISH a "x" q0']);
  });
});

test("a half-open peer is closed by its keep alive", async () => {
  const { tcp, broker } = await start();
  const { port } = new URL(tcp);
  const socket = connectTcp({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  socket.write(connect({ keepAlive: 1 }));
  await new Promise((resolve) => socket.once("data", resolve));
  const ended = new Promise((resolve) => broker.on("disconnected", resolve));
  expect(await ended).toMatchObject({ clientId: "c", reason: 0x8d });
  const end = new Promise((resolve) => socket.once("end", resolve));
  socket.resume();
  await end;
});

test("a half-close without DISCONNECT ends the connection and publishes the will", async () => {
  const { tcp, broker } = await start();
  const published = new Promise((resolve) => broker.on("published", resolve));
  const { port } = new URL(tcp);
  const socket = connectTcp({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  socket.write(connect({ will: { topic: "w", payload: "x" } }));
  await new Promise((resolve) => socket.once("data", resolve));
  socket.end();
  expect(await published).toMatchObject({ topic: "w" });
});

test("a peer that half-closes before its CONNACK receives it, and its packets are handled", async () => {
  // The broker learns of the end long before, because it serves others in between.
  const othersServed = async (): Promise<true> => {
    for (let n = 0; n < 20; n++) await other.send(pingreq).takes(1);
    return true;
  };
  const { tcp } = await start({
    authenticate: ({ clientId }) => clientId === "other" || othersServed(),
    authorizePublish: othersServed,
  });
  const other = await openSocket(tcp);
  await other.send(connect({ clientId: "other" })).takes(1);
  const client = await openSocket(tcp);
  const publishes = [1, 2].map((id) => publish("t", "x", { qos: 1, id }));
  client.end(concat(connect(), ...publishes));
  expect(await client.takes(3)).toEqual(["CONNACK present=0 code=0", "PUBACK #1", "PUBACK #2"]);
  await client.closed;
});

describe("the library", () => {
  test("publishes, reports events, and counts", async () => {
    const { broker, tcp } = await start();
    const kinds: string[] = [];
    for (const kind of ["connected", "subscribed", "published", "disconnected"] as const) {
      broker.on(kind, (event) => kinds.push(event.kind));
    }
    const gone = new Promise((resolve) => broker.on("disconnected", resolve));
    const client = await openSocket(tcp);
    client.send(concat(connect({ clientId: "me" }), subscribe(1, ["a", 1])));
    await client.takes(2);
    broker.publish("a", "hello", { qos: 1 });
    expect(await client.takes(1)).toEqual(['PUBLISH a "hello" q1 #1']);
    expect(broker.counters.clientsConnected).toBe(1);
    broker.disconnect("me");
    await client.closed;
    await gone;
    expect(kinds).toEqual(["connected", "subscribed", "published", "disconnected"]);
    expect(() => broker.publish("a/#", "x")).toThrow('topic: "a/#" is not allowed');
    expect(() => broker.publish("a", "x", { qos: 3 as 2 })).toThrow("qos: 3");
    expect(() => broker.publish("a", 5 as never)).toThrow("payload: 5 is not allowed");
    expect(() => broker.publish("a", new Uint8Array(268_435_440))).toThrow("payload: ");
  });

  test("accepts known users, and refuses others with codes 4 and 5", async () => {
    const { tcp } = await start({ users: { ada: "secret" } });
    const code = async (fields: object): Promise<string> => {
      const client = await openSocket(tcp);
      client.send(connect(fields));
      return (await client.takes(1))[0]!.slice(-1);
    };
    expect(await code({ username: "ada", password: "secret" })).toBe("0");
    expect(await code({ username: "ada", password: "wrong" })).toBe("4");
    expect(await code({ username: "ada", password: "" })).toBe("4");
    expect(await code({ username: "ada" })).toBe("4");
    expect(await code({ username: "bob", password: "secret" })).toBe("4");
    expect(await code({ username: "__proto__", password: "" })).toBe("4");
    expect(await code({})).toBe("5");
  });

  test("refuses a client and reports an error if authenticate returns an invalid value", async () => {
    const { broker, tcp } = await start({
      authenticate: ({ clientId }) => {
        const answers: Record<string, unknown> = {
          forgets: undefined,
          null: null,
          object: { ok: false },
          later: Promise.resolve({ ok: false }),
          // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable
          thenable: { then: (resolve: (answer: boolean) => void) => resolve(true) },
        };
        return answers[clientId] as boolean;
      },
    });
    const errors: unknown[] = [];
    broker.on("error", ({ error }) => errors.push(error));
    for (const [clientId, code] of [
      ["forgets", 3],
      ["null", 3],
      ["object", 3],
      ["later", 3],
      ["thenable", 0],
    ] as const) {
      const client = await openSocket(tcp);
      client.send(connect({ clientId }));
      expect(await client.takes(1)).toEqual([`CONNACK present=0 code=${code}`]);
    }
    expect(errors).toMatchObject(Array.from({ length: 4 }, () => ({ name: "ConfigError" })));
  });

  test("accepts a synchronous or asynchronous authenticate, and refuses with code 3 if it fails", async () => {
    const errors: unknown[] = [];
    const { broker, tcp } = await start({
      authenticate: ({ username }) => {
        if (username === "throws") throw new Error("thrown");
        if (username === "rejects") return Promise.reject(new Error("rejected"));
        return username === "now" || Promise.resolve(username === "later");
      },
    });
    broker.on("error", ({ error }) => errors.push(error));
    const code = async (username: string): Promise<string> => {
      const client = await openSocket(tcp);
      client.send(connect({ clientId: username, username }));
      return (await client.takes(1))[0]!.slice(-1);
    };
    expect(await code("now")).toBe("0");
    expect(await code("later")).toBe("0");
    expect(await code("nobody")).toBe("4");
    expect(await code("throws")).toBe("3");
    expect(await code("rejects")).toBe("3");
    expect(errors).toHaveLength(2);
  });

  test("asks the program in order whether clients may publish and subscribe", async () => {
    const seen: string[] = [];
    const { tcp } = await start({
      authorizePublish: ({ clientId }, topic) => {
        seen.push(`${clientId} publishes ${topic}`);
        return Promise.resolve(topic !== "no");
      },
      authorizeSubscribe: ({ clientId }, filter) => {
        seen.push(`${clientId} subscribes ${filter}`);
        return filter === "later" ? Promise.resolve(true) : filter !== "no";
      },
    });
    const client = await openSocket(tcp);
    client.send(connect({ clientId: "me" }));
    client.send(concat(subscribe(1, ["yes", 0], ["later", 1], ["no", 0]), pingreq));
    client.send(concat(publish("yes", "1"), publish("no", "2"), publish("later", "3"), pingreq));
    expect(await client.takes(6)).toEqual([
      "CONNACK present=0 code=0",
      "SUBACK #1 0 1 128",
      "PINGRESP",
      'PUBLISH yes "1" q0',
      "PINGRESP",
      'PUBLISH later "3" q0',
    ]);
    expect(new Set(seen)).toEqual(
      new Set([
        "me subscribes yes",
        "me subscribes later",
        "me subscribes no",
        "me publishes yes",
        "me publishes no",
        "me publishes later",
      ]),
    );
  });

  test("does not listen for anonymous clients of other machines unless that is allowed", async () => {
    const open = { tcp: { host: "0.0.0.0", port: 0 } };
    await expect(createBroker(open)).rejects.toThrow('host: "0.0.0.0" is not allowed');
    for (const options of [{ allowAnonymous: true }, { users: { a: "b" } }]) {
      const broker = await createBroker({ ...open, ...options });
      await broker.close();
    }
  });

  test("rejects if the port is in use, and leaves no listener open", async () => {
    const { tcp } = await start();
    const port = Number(new URL(tcp).port);
    await expect(createBroker({ tcp: { port: 0 }, ws: { port } })).rejects.toThrow("EADDRINUSE");
  });

  test("closes at once without clients, and may be closed twice", async () => {
    const broker = await createBroker({ tcp: { port: 0 } });
    const closing = broker.close(60_000);
    expect(broker.close()).toBe(closing);
    await closing;
  });
});

describe("a store of the program", () => {
  /** A durable store whose commits wait until the test completes them or lets them fail. */
  function slowStore() {
    const waiting: { done: () => void; fail: (error: Error) => void }[] = [];
    let isFast = false;
    const store: Store = {
      isDurable: true,
      commit: () =>
        new Promise((done, fail) => {
          if (isFast) done();
          else waiting.push({ done, fail });
        }),
      close: () => Promise.resolve(),
    };
    const letThrough = (): void => {
      isFast = true;
      for (const { done } of waiting) done();
    };
    return { store, waiting, letThrough };
  }

  test("sends an acknowledgement once its batch is stored, one batch at a time", async () => {
    const { store, waiting, letThrough } = slowStore();
    const { broker, tcp } = await start({ store });
    const client = await openSocket(tcp);
    client.send(connect({ clientId: "c", clean: false }));
    client.send(subscribe(1, ["t", 1]));
    client.send(publish("t", "x", { qos: 1, id: 5 }));
    await expect.poll(() => broker.counters.publishesReceived).toBe(1);
    expect(waiting.length).toBe(1);
    expect(client.waiting).toEqual([]);
    letThrough();
    expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
    const rest = await client.takes(3);
    expect(rest).toContain("PUBACK #5");
    expect(rest).toContain("SUBACK #1 1");
  });

  test("a client that half-closes before its message is stored receives the acknowledgement", async () => {
    const { store, waiting, letThrough } = slowStore();
    const { broker, tcp } = await start({ store });
    const other = await openSocket(tcp);
    other.send(concat(connect({ clientId: "other", clean: false }), subscribe(1, ["t", 1])));
    await expect.poll(() => waiting.length).toBe(1);
    const client = await openSocket(tcp);
    client.end(concat(connect({ clientId: "c" }), publish("t", "x", { qos: 1, id: 5 })));
    await expect.poll(() => broker.counters.publishesReceived).toBe(1);
    letThrough();
    expect(await client.takes(2)).toEqual(["CONNACK present=0 code=0", "PUBACK #5"]);
    await client.closed;
  });

  test("reports a store failure, and acknowledges nothing after it", async () => {
    const { store, waiting } = slowStore();
    const { broker, tcp } = await start({ store });
    const errors: unknown[] = [];
    broker.on("error", ({ error }) => errors.push(error));
    const client = await openSocket(tcp);
    client.send(connect({ clientId: "c", clean: false }));
    await expect.poll(() => waiting.length).toBe(1);
    waiting[0]!.fail(new Error("disk full"));
    await expect.poll(() => errors.length).toBe(1);
    const late = await openSocket(tcp);
    late.send(connect({ clientId: "late" }));
    expect(await late.takes(1)).toEqual(["CONNACK present=0 code=3"]);
    expect(client.waiting).toEqual([]);
  });
});

test("accepted sockets read into the shared buffer on this Node", async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => void server.close());
  const accepted = new Promise<Socket>((done) => server.once("connection", done));
  const peer = connectTcp((server.address() as AddressInfo).port, "127.0.0.1");
  const socket = await accepted;
  const chunks: string[] = [];
  expect(readShared(socket, (_, chunk) => chunks.push(chunk.toString()) > 0)).toBe(true);
  peer.end("hello");
  await once(socket, "end");
  expect(chunks.join("")).toBe("hello");
});

test("ignores a connection that was reset before it was accepted", async () => {
  const { broker, tcp } = await start();
  const script = `require("node:net").connect(${new URL(tcp).port}, "127.0.0.1", function () {
    this.resetAndDestroy();
  })`;
  // This process accepts no connection while the child process runs.
  execFileSync(process.execPath, ["-e", script]);
  const client = await openSocket(tcp);
  client.send(connect());
  await client.takes(1);
  expect(broker.counters.connectionsOpened).toBe(1);
});

test("ends a socket once, because a second end would cause an error for each connection", async () => {
  const { tcp } = await start();
  const end = vi.spyOn(Socket.prototype, "end");
  onTestFinished(() => end.mockRestore());
  let endedBefore = 0;
  end.mockImplementation(function (this: Socket, ...given: unknown[]) {
    if (this.writableEnded) endedBefore++;
    return Reflect.apply(Duplex.prototype.end, this, given) as Socket;
  });
  for (const last of [disconnect, new Uint8Array(0)]) {
    const client = await openSocket(tcp);
    client.send(connect());
    await client.takes(1);
    client.end(last);
    await client.closed;
  }
  expect(end.mock.calls.length).toBeGreaterThanOrEqual(4);
  expect(endedBefore).toBe(0);
});

test("cuts off a client that continues to send after DISCONNECT", async () => {
  const { broker, tcp } = await start();
  const { hostname, port } = new URL(tcp);
  const socket = connectTcp({ host: hostname, port: Number(port), allowHalfOpen: true });
  socket.on("error", () => {});
  socket.write(connect());
  await once(socket, "data");
  socket.write(disconnect);
  const timer = setInterval(() => socket.write(pingreq), 50);
  await new Promise<void>((done) => socket.once("close", () => done()));
  clearInterval(timer);
  expect(broker.counters.connectionsClosed).toBe(1);
});
