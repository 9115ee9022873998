/** The behaviour of the transports on every runtime, tested over sockets. */
import { once } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  concat,
  connect,
  disconnect,
  pingreq,
  pingresp,
  puback,
  publish,
  subscribe,
} from "../support/packets.ts";
import {
  openRaw,
  openRawTransport,
  openSocket,
  openWs,
  type SocketClient,
} from "../support/socket-client.ts";

export interface Target {
  /** An address such as `tcp://127.0.0.1:1883`; with changed limits, of another broker. */
  start(limits?: Readonly<Record<string, number>>): Promise<{
    readonly addresses: Readonly<Record<"tcp" | "ws", string>>;
    counters(): Promise<Readonly<Record<string, number>>> | Readonly<Record<string, number>>;
    stop(): Promise<void>;
  }>;
}

export function transportSuite(
  target: Target,
  transports: readonly ("tcp" | "ws")[] = ["tcp", "ws"],
): void {
  for (const transport of transports) {
    describe(transport, () => {
      const started = async (limits?: Readonly<Record<string, number>>) => {
        const broker = await target.start(limits);
        onTestFinished(() => broker.stop());
        const address = broker.addresses[transport];
        const connected = async (clientId: string): Promise<SocketClient> => {
          const client = await openSocket(address);
          client.send(connect({ clientId }));
          expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
          return client;
        };
        return { broker, address, connected };
      };

      test("handles packets that arrive byte by byte", async () => {
        const { address } = await started();
        const client = await openSocket(address);
        const stream = concat(connect(), subscribe(1, ["a/#", 1]), publish("a/b", "x", { qos: 1 }));
        for (const byte of stream) client.send(Uint8Array.of(byte));
        expect((await client.takes(4)).sort()).toEqual([
          "CONNACK present=0 code=0",
          "PUBACK #1",
          'PUBLISH a/b "x" q1 #1',
          "SUBACK #1 1",
        ]);
        client.send(concat(puback(1), disconnect));
        await client.closed;
      });

      test("handles many packets in one write, and one packet over many writes", async () => {
        const { connected } = await started();
        const client = await connected("c");
        client.send(subscribe(1, ["a", 0]));
        await client.takes(1);
        const many = Array.from({ length: 5000 }, (_, n) => publish("a", `${n}`));
        client.send(concat(...many));
        const lines = await client.takes(5000);
        expect(lines[0]).toBe('PUBLISH a "0" q0');
        expect(lines[4999]).toBe('PUBLISH a "4999" q0');
        const long = publish("a", new Uint8Array(900_000).fill(0x61));
        for (let at = 0; at < long.length; at += 10_000)
          client.send(long.subarray(at, at + 10_000));
        expect(await client.takes(1)).toEqual(["PUBLISH a 900000 bytes q0"]);
      });

      test("payloads of every size arrive complete", async () => {
        const { connected } = await started();
        const client = await connected("c");
        client.send(subscribe(1, ["a", 0]));
        await client.takes(1);
        for (const size of [0, 1, 127, 128, 16_383, 16_384, 65_535, 65_536, 262_144, 1_000_000]) {
          client.send(publish("a", new Uint8Array(size).fill(0x61)));
          const [line] = await client.takes(1);
          const shown = size > 64 ? `${size} bytes` : `"${"a".repeat(size)}"`;
          expect(line).toBe(`PUBLISH a ${shown} q0`);
        }
      });

      test("a reset in the middle of a packet publishes the will and affects no other client", async () => {
        const { address, connected, broker } = await started();
        const watcher = await connected("watcher");
        watcher.send(subscribe(1, ["w", 0]));
        await watcher.takes(1);
        const mortal = await openSocket(address);
        mortal.send(connect({ clientId: "m", will: { topic: "w", payload: "gone" } }));
        await mortal.takes(1);
        mortal.send(publish("x", "y".repeat(1000)).subarray(0, 500));
        mortal.destroy();
        expect(await watcher.takes(1)).toEqual(['PUBLISH w "gone" q0']);
        expect((await broker.counters())["inputBytes"]).toBe(0);
      });

      test("a malformed packet closes its own connection and no other", async () => {
        const { connected } = await started();
        const [bad, good] = [await connected("bad"), await connected("good")];
        bad.send(Uint8Array.of(0x36, 0, 1, 2, 3));
        await bad.closed;
        good.send(pingreq);
        expect(await good.takes(1)).toEqual(["PINGRESP"]);
      });

      test("a disconnected client sees an end, and no reset that would discard earlier packets", async () => {
        const { address } = await started();
        const { socket, framed } = await openRawTransport(address);
        socket.write(framed(connect()));
        await once(socket, "data");
        socket.write(framed(Uint8Array.of(0x36, 0, 1, 2, 3)));
        // Rejects if the socket has an error.
        const ended = once(socket, "end");
        socket.resume();
        await ended;
      });

      test.each([
        [3, []],
        [4, []],
        [5, ["DISCONNECT MalformedPacket ReasonString"]],
      ] as const)(
        "the replies to the packets before a malformed packet of the same burst arrive, at level %i",
        async (level, disconnect) => {
          const { address } = await started();
          const fault = Uint8Array.of(0x36, 0);
          const accepted = expect.stringMatching(/^CONNACK present=0 (code=0$|\w+=\d)/);
          const wanted = [accepted, "PINGRESP", ...disconnect];
          const whole = await openSocket(address);
          whole.send(concat(connect({ level, clientId: "whole" }), pingreq, fault));
          expect(await whole.takes(wanted.length)).toEqual(wanted);
          const parts = await openSocket(address);
          for (const part of [connect({ level, clientId: "parts" }), pingreq, fault])
            parts.send(part);
          expect(await parts.takes(wanted.length)).toEqual(wanted);
          await Promise.all([whole.closed, parts.closed]);
        },
      );

      test("a refused CONNECT gets its CONNACK before the transport closes", async () => {
        const { address } = await started();
        const client = await openSocket(address);
        client.send(concat(connect({ clientId: "", clean: false }), pingreq, pingreq));
        expect(await client.takes(1)).toEqual(["CONNACK present=0 code=2"]);
        await client.closed;
      });

      test("a stalled subscriber delays no other client, and is closed after stallMillisMax", async () => {
        const { connected, broker } = await started({
          stallMillisMax: 700,
          outputBytesMax: 65_536,
        });
        const [slow, fast, publisher] = [
          await connected("slow"),
          await connected("fast"),
          await connected("p"),
        ];
        for (const reader of [slow, fast]) {
          reader.send(subscribe(1, ["a", 0]));
          await reader.takes(1);
        }
        slow.pause();
        const payload = new Uint8Array(10_000);
        for (let n = 0; n < 2000; n += 100) {
          for (let i = 0; i < 100; i++) publisher.send(publish("a", payload));
          await fast.takes(100);
        }
        expect((await broker.counters())["droppedSlowReader"]).toBeGreaterThan(0);
        // The broker closes the connection; the subscriber notices it when it reads again.
        while ((await broker.counters())["closedStalled"] === 0) {
          fast.send(pingreq);
          await fast.takes(1);
        }
        slow.resume();
        await slow.closed;
      });

      test("a subscriber that stalls and resumes receives every QoS 1 message in order", async () => {
        const { connected } = await started();
        const [reader, publisher] = [await connected("r"), await connected("p")];
        reader.send(subscribe(1, ["a", 1]));
        await reader.takes(1);
        reader.pause();
        const payload = "x".repeat(2000);
        for (let id = 1; id <= 2000; id++) {
          publisher.send(publish("a", `${id} ${payload}`, { qos: 1, id }));
        }
        await publisher.takes(2000);
        reader.resume();
        for (let id = 1; id <= 2000; id++) {
          const [line] = await reader.takes(1);
          expect(line).toContain(`#${id}`);
          reader.send(puback(id));
        }
      });

      test("a stalled subscriber with little pending output is served again", async () => {
        const { connected, broker } = await started({ outputBytesMax: 65_536 });
        const [reader, publisher] = [await connected("r"), await connected("p")];
        reader.send(subscribe(1, ["a", 0]));
        await reader.takes(1);
        reader.pause();
        // One packet a write, each shorter than the high-water mark of a Node stream.
        const payload = new Uint8Array(10_000);
        while ((await broker.counters())["droppedSlowReader"] === 0) {
          for (let n = 0; n < 20; n++) {
            publisher.send(publish("a", payload, { qos: 1 }));
            await publisher.takes(1);
          }
        }
        let isAnswered = false;
        reader.tap = (bytes) => {
          isAnswered ||= bytes.at(-2) === 0xd0 && bytes.at(-1) === 0;
        };
        reader.resume();
        while (!isAnswered) {
          reader.send(pingreq);
          publisher.send(pingreq);
          await publisher.takes(1);
        }
      });

      test("stops reading a client that takes no replies", async () => {
        const { connected, broker } = await started();
        const [greedy, good] = [await connected("greedy"), await connected("good")];
        greedy.pause();
        const answers = { count: 0, wrong: 0 };
        greedy.tap = (bytes) => {
          for (const byte of bytes) if (byte !== pingresp[answers.count++ % 2]) answers.wrong++;
        };
        const pings = concat(...Array.from({ length: 10_000 }, () => pingreq));
        // More replies than the transport buffers, and then more than the broker would keep.
        for (let n = 0; n < 400; n++) greedy.send(pings);
        for (let n = 0; n < 30; n++) greedy.send(publish("nobody", new Uint8Array(1_000_000)));
        good.send(pingreq);
        expect(await good.takes(1)).toEqual(["PINGRESP"]);
        expect((await broker.counters())["inputBytes"]).toBeLessThan(2_000_000);
        greedy.resume();
        while ((await broker.counters())["publishesReceived"] !== 30) {
          good.send(pingreq);
          await good.takes(1);
        }
        while (answers.count < 400 * pings.length) {
          good.send(pingreq);
          await good.takes(1);
        }
        expect(answers).toEqual({ count: 400 * pings.length, wrong: 0 });
      });

      const halfClosed = "who says its last still gets what it is owed, more than a socket takes";
      // A WebSocket cannot be half-closed.
      if (transport === "tcp")
        test(halfClosed, async () => {
          const { connected, broker } = await started({ packetBytesMax: 33_554_432 });
          const publisher = await connected("p");
          publisher.send(publish("a", new Uint8Array(12_000_000), { qos: 1, retain: true }));
          await publisher.takes(1);
          const reader = await connected("r");
          reader.send(subscribe(1, ["a", 0]));
          reader.end();
          expect(await reader.takes(2)).toEqual([
            "SUBACK #1 0",
            "PUBLISH a 12000000 bytes q0 retain",
          ]);
          await reader.closed;
          while ((await broker.counters())["clientsConnected"] !== 1) {
            publisher.send(pingreq);
            await publisher.takes(1);
          }
        });
      if (transport === "tcp")
        test("a client that half-closes still receives its pending messages", async () => {
          const { connected } = await started();
          const publisher = await connected("p");
          const names = Array.from({ length: 60 }, (_, n) => `a/${n}`);
          for (const name of names) {
            publisher.send(publish(name, new Uint8Array(100_000), { qos: 1, retain: true }));
          }
          await publisher.takes(names.length);
          const reader = await connected("r");
          reader.pause();
          reader.end(subscribe(1, ["a/#", 0]));
          // The client takes no bytes until others have been served for a while.
          for (let n = 0; n < 100; n++) {
            publisher.send(pingreq);
            await publisher.takes(1);
          }
          reader.resume();
          const lines = await reader.takes(1 + names.length);
          const wanted = names.map((name) => `PUBLISH ${name} 100000 bytes q0 retain`);
          expect(lines.sort()).toEqual([...wanted, "SUBACK #1 0"].sort());
          await reader.closed;
        });
      if (transport === "tcp")
        test("a client that half-closes after a request receives the reply", async () => {
          const { connected } = await started();
          const [client, other] = [await connected("c"), await connected("other")];
          // So that the end has arrived when the broker reads the request.
          other.send(concat(...Array.from({ length: 100_000 }, () => publish("x", "y"))));
          client.end(publish("a", new Uint8Array(2000), { qos: 1, id: 7 }));
          expect(await client.takes(1)).toEqual(["PUBACK #7"]);
          await client.closed;
        });

      test("serves thousands of clients that come and go", async () => {
        const { connected, broker } = await started();
        const clients: SocketClient[] = [];
        while (clients.length < CLIENTS) {
          const more = Array.from({ length: 100 }, (_, n) => connected(`c${clients.length + n}`));
          clients.push(...(await Promise.all(more)));
        }
        for (const client of clients) client.send(subscribe(1, ["all", 0]));
        await Promise.all(clients.map((client) => client.takes(1)));
        clients[0]!.send(publish("all", "x"));
        const lines = await Promise.all(clients.map((client) => client.takes(1)));
        expect(lines.flat()).toEqual(Array.from({ length: CLIENTS }, () => 'PUBLISH all "x" q0'));
        for (const [n, client] of clients.entries()) {
          if (n % 2 === 0) client.send(disconnect);
          else client.destroy();
        }
        await Promise.all(clients.map((client) => client.closed));
        const last = await connected("last");
        while ((await broker.counters())["clientsConnected"] !== 1) {
          last.send(pingreq);
          await last.takes(1);
        }
        expect((await broker.counters())["sessions"]).toBe(1);
      });

      test("a transport beyond connectionsMax is closed", async () => {
        const { address, connected } = await started({ connectionsMax: 1 });
        const first = await connected("first");
        const second = await openSocket(address);
        await second.closed;
        first.send(pingreq);
        expect(await first.takes(1)).toEqual(["PINGRESP"]);
      });

      test("cuts off a client that takes no bytes", async () => {
        const { broker, address, connected } = await started({
          stallMillisMax: 500,
          outputBytesMax: 65_536,
        });
        const { socket, framed } = await openRawTransport(address);
        socket.write(framed(concat(connect({ clientId: "frozen" }), subscribe(1, ["a", 0]))));
        await once(socket, "data");
        socket.pause();
        const publisher = await connected("p");
        while ((await broker.counters())["closedStalled"] === 0) {
          publisher.send(long);
          await publisher.takes(1);
        }
        // A write to a closed connection causes a reset.
        const reset = new Promise<Error>((resolve) => socket.once("error", resolve));
        const writes = setInterval(() => socket.write(framed(pingreq)), 10);
        onTestFinished(() => clearInterval(writes));
        expect(await reset).toMatchObject({ code: expect.stringMatching(/EPIPE|ECONNRESET/) });
      });

      test("stopping sends pending output, sends 5.0 clients the reason, and closes", async () => {
        const { broker, address, connected } = await started();
        const [reader, publisher] = [await connected("r"), await connected("p")];
        const mqtt5 = await openSocket(address);
        mqtt5.send(connect({ level: 5, clientId: "mqtt5" }));
        await mqtt5.takes(1);
        reader.send(subscribe(1, ["a", 1]));
        await reader.takes(1);
        // The pending output exceeds the buffers of the system.
        reader.pause();
        const count = 12;
        for (let n = 0; n < count; n++) publisher.send(long);
        await publisher.takes(count);
        const stopped = broker.stop();
        reader.resume();
        expect(await mqtt5.takes(1)).toEqual(["DISCONNECT ServerShuttingDown ReasonString"]);
        const lines = await reader.takes(count);
        expect(lines.at(-1)).toBe(`PUBLISH a 900000 bytes q1 #${count}`);
        await Promise.all([stopped, reader.closed, publisher.closed, mqtt5.closed]);
      });
    });
  }
}

const CLIENTS = 2000;

/** A dozen of these exceed the system's buffers for a client that does not read. */
const long = publish("a", new Uint8Array(900_000), { qos: 1 });

/** The behaviour of a runtime's servers. */
export function serverSuite(target: Target): void {
  const started = async (limits: Readonly<Record<string, number>> = {}): Promise<string> => {
    const broker = await target.start(limits);
    onTestFinished(() => broker.stop());
    return broker.addresses.ws;
  };

  test.each(["tcp", "ws"] as const)(
    "stopping ends connections that take no bytes over %s",
    async (transport) => {
      const broker = await target.start();
      onTestFinished(() => broker.stop());
      const address = broker.addresses[transport];
      const { socket, framed } = await openRawTransport(address);
      socket.write(framed(concat(connect({ clientId: "frozen" }), subscribe(1, ["a", 1]))));
      await once(socket, "data");
      socket.pause();
      const publisher = await openSocket(address);
      publisher.send(connect({ clientId: "p" }));
      await publisher.takes(1);
      for (let n = 0; n < 12; n++) publisher.send(long);
      await publisher.takes(12);
      // The broker has its own process, which must exit.
      await broker.stop();
    },
  );

  test("a frame longer than any packet closes with code 1009", async () => {
    const client = await openWs(await started({ packetBytesMax: 65_536 }), ["mqtt"]);
    client.send(new Uint8Array(1_000_000));
    expect(await client.closed).toBe(1009);
  });

  test("an endless message longer than any packet closes", async () => {
    const client = await openWs(await started({ packetBytesMax: 65_536 }), ["mqtt"]);
    const fragments = setInterval(() => {
      client.socket.send(new Uint8Array(10_000), { fin: false });
    });
    onTestFinished(() => clearInterval(fragments));
    expect(await client.closed).toBeGreaterThan(1000);
  });

  test("an unmasked frame closes", async () => {
    const { socket } = await openRawTransport(await started());
    const packet = connect();
    socket.write(concat(Uint8Array.of(0x82, packet.length), packet));
    await once(socket.resume(), "end");
  });

  test("a close frame ends the connection and publishes the will though TCP stays open", async () => {
    const address = await started();
    const watcher = await openSocket(address);
    watcher.send(concat(connect({ clientId: "watcher" }), subscribe(1, ["w", 0])));
    await watcher.takes(2);
    const { socket, framed } = await openRawTransport(address);
    socket.write(framed(connect({ clientId: "m", will: { topic: "w", payload: "gone" } })));
    await once(socket, "data");
    socket.write(Uint8Array.of(0x88, 0x80, 0, 0, 0, 0));
    expect(await watcher.takes(1)).toEqual(['PUBLISH w "gone" q0']);
  });

  const request = (...lines: string[]): string =>
    ["GET /mqtt HTTP/1.1", "Host: x", ...lines, "Connection: Upgrade", "", ""].join("\r\n");
  test.each<[string, string | Uint8Array, string]>([
    ["MQTT without WebSocket", connect(), "400 Bad Request"],
    ["a line that is not a request", "hello there\r\n", "400 Bad Request"],
    ["a header without a colon", request("Upgrade: websocket", "Sec"), "400 Bad Request"],
    ["a header without a name", request(": x"), "400 Bad Request"],
    ["whitespace before the colon", request("Upgrade : websocket"), "400 Bad Request"],
    ["a folded header", request("Upgrade: web", " socket"), "400 Bad Request"],
    ["a folded header with a colon", request("Upgrade: web", " soc:ket"), "400 Bad Request"],
    ["a head too long", request(`A: ${LONG}`), "431 Request Header Fields Too Large"],
    ["a line too long", `GET /${LONG}`, "431 Request Header Fields Too Large"],
  ])("%s instead of a handshake is answered, and closed", async (_, bytes, status) => {
    const socket = openRaw(await started());
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
    });
    socket.write(bytes);
    await once(socket, "end");
    expect(answer.split("\r\n")[0]).toBe(`HTTP/1.1 ${status}`);
  });

  test("a connection without a WebSocket handshake is closed soon after connectMillisMax", async () => {
    const address = await started({ connectMillisMax: 100 });
    const requests = ["", "GET /mqtt HTTP/1.1\r\n", "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n"];
    const ends = requests.map((bytes) => {
      const socket = openRaw(address);
      socket.write(bytes);
      return once(socket.resume(), "end");
    });
    await Promise.all(ends);
  });
}

const LONG = "x".repeat(20_000);
