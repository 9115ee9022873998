// What mosquitto keeps in its persistence file moves to a store, and clients go on where they were.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ImportError } from "../../adapters/cli/store/import.ts";
import { ImportLines } from "../../adapters/cli/store/import-lines.ts";
import { Chunks } from "../../adapters/cli/store/mosquitto-db/chunks.ts";
import { MosquittoItems } from "../../adapters/cli/store/mosquitto-db/items.ts";
import { ConfigError } from "../../core/mod.ts";
import { needs } from "../support/needs.ts";
import {
  concat,
  connect,
  disconnect,
  mqtt5,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
} from "../support/packets.ts";
import { type Running, run, runSansmq } from "../support/process.ts";
import { Random } from "../support/random.ts";
import { newFolder, served } from "../support/serving.ts";
import { openSocket, type SocketClient } from "../support/socket-client.ts";
import { storeCommand } from "../support/store-command.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A mosquitto with persistence. */
async function startMosquitto(): Promise<{ mosquitto: Running; tcp: string; file: string }> {
  const folder = newFolder();
  const port = await freePort();
  const config = join(folder, "mosquitto.conf");
  const lines = [
    // Without this, mosquitto started as root would run as a user that cannot write the file.
    ...[
      "user root",
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "queue_qos0_messages true",
    ],
    ...["persistence true", `persistence_location ${folder}/`, "autosave_interval 0"],
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const mosquitto = run("mosquitto", "-v", "-c", config);
  await mosquitto.says(/mosquitto version \S+ running/);
  return { mosquitto, tcp: `tcp://127.0.0.1:${port}`, file: join(folder, "mosquitto.db") };
}

async function client(tcp: string, ...packets: readonly Uint8Array[]): Promise<SocketClient> {
  const socket = await openSocket(tcp);
  socket.send(concat(...packets));
  return socket;
}

const kept = (clientId: string) => connect({ clientId, clean: false });
const kept5 = (clientId: string, seconds: number) =>
  connect({ level: 5, clientId, clean: false, props: { SessionExpiryInterval: seconds } });

/** Brings a broker into a state with everything that mosquitto keeps. */
async function fill(tcp: string): Promise<void> {
  const away = await client(
    tcp,
    kept("away"),
    subscribe(1, ["q/+", 1], ["two", 2], ["/lead/#", 0], ["half", 2]),
    disconnect,
  );
  await away.takes(2);
  const five = await client(
    tcp,
    kept5("five", 3600),
    mqtt5.subscribe(1, ["five/#", 2 | 8], { SubscriptionIdentifier: 9 }),
    mqtt5.subscribe(2, ["half", 1 | 4]),
    disconnect,
  );
  await five.takes(3);
  const flying = await client(tcp, kept("flying"), subscribe(1, ["f/1", 1], ["f/2", 2]));
  await flying.takes(2);
  // Received, and not released by its publisher.
  const half = await client(
    tcp,
    kept("half"),
    publish("half", "of two", { qos: 2, id: 5, retain: true }),
  );
  expect(await half.takes(2)).toEqual(["CONNACK present=0 code=0", "PUBREC #5"]);

  const publisher = await client(
    tcp,
    connect({ level: 5, clientId: "publisher" }),
    mqtt5.publish("q/a", "1", { qos: 1, id: 1 }),
    mqtt5.publish("q/b", "2", { qos: 2, id: 2 }),
    mqtt5.publish("two", Uint8Array.of(0, 0xff), { qos: 2, id: 3 }),
    mqtt5.publish("q/a", "0", {}),
    mqtt5.publish("/lead/x", "never", { qos: 1, id: 4 }),
    mqtt5.publish("five/x", "props", {
      ...{ qos: 1, id: 6, retain: true },
      props: {
        ...{ PayloadFormatIndicator: 1, MessageExpiryInterval: 1000, ContentType: "text" },
        ...{ ResponseTopic: "back", CorrelationData: Uint8Array.of(1, 0) },
        UserProperty: [
          ["k", "1"],
          ["k", "2"],
        ],
      },
    }),
    mqtt5.publish("kept", "plain", { qos: 0, retain: true }),
    mqtt5.publish("kept/2", "expires", {
      qos: 1,
      id: 7,
      retain: true,
      props: { MessageExpiryInterval: 900 },
    }),
    mqtt5.publish("f/1", "at 1", { qos: 1, id: 8 }),
    mqtt5.publish("f/2", "at 2", { qos: 2, id: 9 }),
    mqtt5.publish("f/2", "at 2 again", { qos: 2, id: 10 }),
    ...[2, 3, 9, 10].map(pubrel),
  );
  await publisher.takes(1 + 5 + 4 * 2);
  const inFlight = await flying.takes(3);
  expect(inFlight.map((line) => line.replace(/ #\d+/, ""))).toEqual([
    ...['PUBLISH f/1 "at 1" q1', 'PUBLISH f/2 "at 2" q2', 'PUBLISH f/2 "at 2 again" q2'],
  ]);
  flying.send(pubrec(2));
  expect(await flying.takes(1)).toEqual(["PUBREL #2"]);
}

async function stopMosquitto(mosquitto: Running): Promise<void> {
  mosquitto.child.kill("SIGTERM");
  expect((await mosquitto.finished).code).toBe(0);
}

const into = (folder: string, file: string) =>
  storeCommand("import", folder, "--mosquitto-db", file);

describe("mosquitto's persistence file", needs("mosquitto"), () => {
  test("moves to a store: clients get what mosquitto kept for them", async () => {
    const { mosquitto, tcp: from, file } = await startMosquitto();
    await fill(from);
    await stopMosquitto(mosquitto);
    const folder = join(newFolder(), "store");
    expect(await into(folder, file)).toEqual({
      code: 0,
      stdout: expect.stringMatching(
        /^imported 4 sessions, 8 subscriptions, \d+ messages, 6 queued, 3 in flight, 1 receipts, 4 retained\n$/,
      ) as string,
      stderr: expect.stringMatching(
        /^sansmq: left out 2 queued messages at QoS 0, which do not survive a restart\n$/,
      ) as string,
    });
    expect((await storeCommand("verify", folder)).stdout).toMatch(/\nsound\n$/);
    const { tcp } = await served(runSansmq("--port", "0", "--no-ws", "--store", folder));

    const away = await client(tcp, kept("away"));
    expect(await away.takes(5)).toEqual([
      "CONNACK present=1 code=0",
      'PUBLISH q/a "1" q1 #1',
      'PUBLISH q/b "2" q1 #2',
      'PUBLISH two "\x00\ufffd" q2 #3',
      'PUBLISH half "of two" q2 #4',
    ]);
    away.send(concat(...[1, 2].map(puback), ...[3, 4].flatMap((id) => [pubrec(id), pubcomp(id)])));
    expect(await away.takes(2)).toEqual(["PUBREL #3", "PUBREL #4"]);

    const five = await client(tcp, kept5("five", 60));
    const [connack, props, half] = await five.takes(3);
    expect(connack).toMatch(/^CONNACK present=1/);
    expect(props).toMatch(
      /^PUBLISH five\/x "props" q1 #1 retain .*PayloadFormatIndicator=1 ContentType="text" ResponseTopic="back" CorrelationData=0100 UserProperty="k":"1","k":"2"/,
    );
    expect(props).toContain("SubscriptionIdentifier=9");
    const left = Number(/MessageExpiryInterval=(\d+)/.exec(props!)![1]);
    expect([left > 900, left <= 1000]).toEqual([true, true]);
    expect(half).toBe('PUBLISH half "of two" q1 #2');

    const flying = await client(tcp, kept("flying"));
    expect(await flying.takes(4)).toEqual([
      "CONNACK present=1 code=0",
      "PUBREL #2",
      'PUBLISH f/1 "at 1" q1 #1 dup',
      'PUBLISH f/2 "at 2 again" q2 #3 dup',
    ]);

    // The publisher goes on with its handshake, and even sends its message again: nobody gets it twice.
    const publisher = await client(
      tcp,
      kept("half"),
      publish("half", "of two", { qos: 2, id: 5, dup: true, retain: true }),
      pubrel(5),
    );
    expect(await publisher.takes(3)).toEqual([
      "CONNACK present=1 code=0",
      "PUBREC #5",
      "PUBCOMP #5",
    ]);
    const later = await client(
      tcp,
      connect({ clientId: "later" }),
      publish("q/a", "3", { qos: 1 }),
    );
    await later.takes(2);
    expect(await away.takes(1)).toEqual(['PUBLISH q/a "3" q1 #5']);

    const reader = await client(tcp, connect({ clientId: "r" }), subscribe(1, ["#", 0]));
    const retained = (await reader.takes(2 + 4)).slice(2);
    expect(retained.toSorted()).toEqual([
      'PUBLISH five/x "props" q0 retain',
      'PUBLISH half "of two" q0 retain',
      'PUBLISH kept "plain" q0 retain',
      'PUBLISH kept/2 "expires" q0 retain',
    ]);
    // The subscriptions are there, at their QoS.
    const last = await client(tcp, connect({ clientId: "last" }), publish("/lead/x", "live"));
    await last.takes(1);
    expect(await away.takes(1)).toEqual(['PUBLISH /lead/x "live" q0']);
  });

  describe("as bytes", () => {
    let made: Buffer | null = null;
    let folder: string | null = null;
    afterAll(() => folder !== null && rmSync(folder, { recursive: true }));
    /** The file of a mosquitto after `fill`. */
    const wholeFile = async (): Promise<Buffer> => {
      if (made !== null) return made;
      const { mosquitto, tcp, file } = await startMosquitto();
      await fill(tcp);
      await stopMosquitto(mosquitto);
      made = readFileSync(file);
      return made;
    };

    /** The lines of a file with these bytes, as an import checks them. */
    function linesOf(bytes: Uint8Array): readonly unknown[] {
      folder ??= mkdtempSync(join(tmpdir(), "sansmq-"));
      const changed = join(folder, "mosquitto.db");
      writeFileSync(changed, bytes);
      const chunks = new Chunks(changed);
      try {
        const lines = new ImportLines();
        return Array.from(new MosquittoItems(chunks).items(), ({ line }) => {
          lines.record(line);
          return line;
        });
      } finally {
        chunks.close();
      }
    }

    /** Chunks as positions: kind, begin, end. */
    function chunksOf(bytes: Buffer): { kind: number; start: number; end: number }[] {
      const chunks = [];
      for (let at = 23; at < bytes.length; ) {
        const end = at + 8 + bytes.readUInt32BE(at + 4);
        chunks.push({ kind: bytes.readUInt32BE(at), start: at + 8, end });
        at = end;
      }
      return chunks;
    }

    test("of format 5, which mosquitto 1.6 wrote, gives the same lines", async () => {
      const whole = await wholeFile();
      const parts: Buffer[] = [Buffer.from(whole.subarray(0, 23))];
      parts[0]!.writeUInt32BE(5, 19);
      for (const { kind, start, end } of chunksOf(whole)) {
        const chunk = Buffer.from(whole.subarray(start - 8, end));
        if (kind !== 6) {
          parts.push(chunk);
          continue;
        }
        // Without the port, the user name and their padding.
        const usernameBytes = chunk.readUInt16BE(8 + 18);
        const client = Buffer.concat([
          chunk.subarray(0, 24),
          chunk.subarray(32, chunk.length - usernameBytes),
        ]);
        client.writeUInt32BE(client.length - 8, 4);
        parts.push(client);
      }
      expect(linesOf(Buffer.concat(parts))).toEqual(linesOf(whole));
    });

    test("of a machine with the other byte order gives the same lines", async () => {
      const whole = await wholeFile();
      const bytes = Buffer.from(whole);
      for (const { kind, start } of chunksOf(whole)) {
        // The numbers of messages and the times.
        const fields = { 1: [0], 2: [0, 8], 3: [0], 4: [0], 5: [], 6: [0] }[kind] ?? [];
        for (const at of fields) bytes.subarray(start + at, start + at + 8).reverse();
      }
      expect(linesOf(bytes)).toEqual(linesOf(whole));
    });

    test("cut anywhere is refused, unless whole chunks are missing at its end", async () => {
      const whole = await wholeFile();
      const ends = new Set(chunksOf(whole).map(({ end }) => end));
      const random = new Random(2);
      const some = Array.from({ length: 300 }, () => random.below(whole.length));
      for (const length of [...some, ...ends, ...[...ends].map((end) => end - 1)]) {
        const cut = (): unknown => linesOf(whole.subarray(0, length));
        if (length === whole.length) expect(cut).not.toThrow();
        else if (ends.has(length)) expect(cut).not.toThrow(TypeError);
        else expect(cut).toThrow(ImportError);
      }
    });

    test("damaged anywhere is read or refused, with the place", async () => {
      const whole = await wholeFile();
      const random = new Random(1);
      let refused = 0;
      for (let n = 0; n < 300; n++) {
        const bytes = Buffer.from(whole);
        for (let k = 0; k < 3; k++) bytes[random.below(bytes.length)] = random.below(256);
        try {
          linesOf(bytes);
        } catch (error) {
          refused++;
          expect(error).toSatisfy((it) => it instanceof ImportError || it instanceof ConfigError);
        }
      }
      expect(refused).toBeGreaterThan(30);
    });

    test.each([
      [
        "cut",
        (bytes: Buffer) => bytes.subarray(0, -3),
        /chunk at byte \d+ is not complete: the file ends at byte \d+/,
      ],
      [
        "of another format",
        withFormat(4),
        /format 4 is not supported; supported are 5 and 6, which mosquitto 1.6 and 2 write/,
      ],
      ["of a later format", withFormat(7), /format 7 is not supported/],
      [
        "of another kind",
        (bytes: Buffer) => bytes.subarray(1),
        /not a persistence file of mosquitto/,
      ],
    ])(
      "a file that is %s is refused in one line, and nothing is written",
      async (_, change, message) => {
        const file = join(newFolder(), "mosquitto.db");
        writeFileSync(file, change(Buffer.from(await wholeFile())));
        const folder = newFolder();
        const { code, stdout, stderr } = await into(folder, file);
        expect([code, stdout]).toEqual([1, ""]);
        expect(stderr).toMatch(/^sansmq: \S*mosquitto.db: [^\n]*\n$/);
        expect(stderr).toMatch(message);
        expect(readdirSync(folder)).toEqual([]);
      },
    );
  });
});

function withFormat(format: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    bytes.writeUInt32BE(format, 19);
    return bytes;
  };
}

test("a persistence file that is missing is named in one line", async () => {
  expect(await into(newFolder(), "/nowhere/mosquitto.db")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^sansmq: file: .* a readable file \(ENOENT.*\)\n$/) as string,
  });
});
