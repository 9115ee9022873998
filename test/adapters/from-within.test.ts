/** Calls of the broker from within a policy: the broker executes them in order after the policy has returned. */
import { expect, onTestFinished, test } from "vitest";
import type { LocalMessage } from "../../adapters/local/mod.ts";
import {
  type BytePipe,
  createLocalBroker,
  type LocalBroker,
  portSocket,
} from "../../adapters/local/mod.ts";
import { createTestBroker, Faults, type TestBroker } from "../../adapters/testing/mod.ts";
import { concat, connect, publish, subscribe } from "../support/packets.ts";
import { Recording } from "../support/recording.ts";

type Options = Parameters<typeof createLocalBroker>[0];

/** A recorded broker, which is replayed at the end of the test. */
function start(options: Options): LocalBroker {
  const recording = new Recording();
  const broker = createLocalBroker({
    allowAnonymous: true,
    ...options,
    record: recording.recorder,
  });
  broker.on("error", ({ error }) => expect(error).toBe(null));
  onTestFinished(async () => {
    await broker.close(100);
    expect(recording.replays().end?.cause).toBe("closed");
  });
  return broker;
}

const words = ({ topic, payload }: LocalMessage): string =>
  `${topic} ${new TextDecoder().decode(payload)}`;

test("a policy publishes during its own decision", async () => {
  const said = new TextEncoder().encode("?");
  const broker: LocalBroker = start({
    authenticate: ({ clientId }) => {
      broker.publish("log/connect", clientId);
      return true;
    },
    authorizeSubscribe: (_, filter) => {
      broker.publish("log/subscribe", filter);
      return true;
    },
    authorizePublish: (_, topic) => {
      // One buffer for all messages: each must be published with its content at the time of the call.
      said[0] = topic.charCodeAt(0);
      const properties = { CorrelationData: said };
      for (const qos of [0, 1] as const) broker.publish("log/publish", said, { qos, properties });
      return true;
    },
  });
  const got: string[] = [];
  const watcher = await broker.connect({ clientId: "w" });
  await watcher.subscribe("log/#", { qos: 2 }, (message) => {
    const { CorrelationData: data } = message.properties;
    got.push(`${words(message)}${data === undefined ? "" : new TextDecoder().decode(data)}`);
  });
  const client = await broker.connect({ clientId: "c" });
  const loop = await client.subscribe("+", { qos: 1 });
  for (const topic of ["a", "b"]) void client.publish(topic, topic, { qos: 1 });
  expect([(await loop.next()).value, (await loop.next()).value].map(words)).toEqual(["a a", "b b"]);
  await expect
    .poll(() => got)
    .toEqual([
      ...["log/subscribe log/#", "log/connect c", "log/subscribe +"],
      ...["log/publish aa", "log/publish aa", "log/publish bb", "log/publish bb"],
    ]);
});

test("a policy disconnects, connects and closes", async () => {
  let other: Promise<unknown> | null = null;
  let closed: Promise<void> | null = null;
  const broker: LocalBroker = start({
    authorizePublish: ({ clientId }, topic) => {
      if (topic === "kick") broker.disconnect(clientId);
      if (topic === "connect") other = broker.connect({ clientId: "other" });
      if (topic === "close") closed = broker.close();
      return true;
    },
  });
  const [one, two] = [await broker.connect({ clientId: "1" }), await broker.connect()];
  await two.publish("connect", "", { qos: 1 });
  expect(await other).toMatchObject({ clientId: "other" });
  void one.publish("kick", "");
  expect(await one.closed).toMatchObject({ by: "broker", reason: 0x98 });
  void two.publish("close", "");
  expect(await two.closed).toMatchObject({ by: "broker", reason: 0x8b });
  await closed;
  expect(broker.counters.clientsConnected).toBe(0);
});

/** A policy that runs the action of a topic when a message is published to it, and allows every message. */
function doing(what: Record<string, () => void>): Options {
  return {
    authorizePublish: (_, topic) => {
      what[topic]?.();
      return true;
    },
  };
}

test("a policy opens a pipe, writes to it and reads from it", async () => {
  let pipe!: BytePipe;
  let writer!: WritableStreamDefaultWriter<Uint8Array>;
  let reader!: ReadableStreamDefaultReader<Uint8Array>;
  const payload = "x".repeat(200_000);
  const read: Promise<ReadableStreamReadResult<Uint8Array>>[] = [];
  const write = (bytes: Uint8Array): void => void writer.write(bytes);
  const broker: LocalBroker = start(
    doing({
      open: () => {
        pipe = broker.pipe();
        [writer, reader] = [pipe.writable.getWriter(), pipe.readable.getReader()];
        write(concat(connect(), subscribe(1, ["a", 0])));
      },
      write: () => write(publish("a", payload)),
      read: () => {
        for (let n = 0; n < 2; n++) read.push(reader.read());
      },
    }),
  );
  const client = await broker.connect();
  const takes = async (bytesMin: number): Promise<void> => {
    for (let bytes = 0; bytes < bytesMin; ) bytes += (await reader.read()).value!.length;
  };
  await client.publish("open", "", { qos: 1 });
  // CONNACK and SUBACK.
  await takes(4 + 5);
  // The pipe is full now. It accepts more after it is read from, which the policy does.
  await client.publish("write", "", { qos: 1 });
  await client.publish("write", "", { qos: 1 });
  await client.publish("read", "", { qos: 1 });
  const [first, second] = await Promise.all(read);
  await takes(2 * publish("a", payload).length - first!.value!.length - second!.value!.length);
  await writer.close();
});

test("a policy opens a pipe and closes it", async () => {
  const broker: LocalBroker = start(
    doing({
      cancel: () => void broker.pipe().readable.cancel(),
      abort: () => void broker.pipe().writable.abort(),
    }),
  );
  const client = await broker.connect();
  await client.publish("cancel", "", { qos: 1 });
  await client.publish("abort", "", { qos: 1 });
  await expect.poll(() => broker.counters.connectionsClosed).toBe(1);
  expect(broker.counters.connectionsOpened).toBe(2);
});

test("a policy attaches a port", async () => {
  const { port1, port2 } = new MessageChannel();
  const broker: LocalBroker = start(doing({ serve: () => broker.servePort(port2) }));
  onTestFinished(() => port1.close());
  const client = await broker.connect();
  const socket = portSocket(port1);
  const connack = new Promise((resolve) => {
    socket.onmessage = ({ data }: { data: ArrayBuffer }) => resolve(new Uint8Array(data));
    socket.onopen = () => socket.send(connect());
  });
  await client.publish("serve", "", { qos: 1 });
  expect(await connack).toEqual(Uint8Array.of(0x20, 2, 0, 0));
});

test("in a test broker, a policy opens a pipe, connects, and releases a stalled connection", async () => {
  const faults = new Faults();
  const opened: Promise<unknown>[] = [];
  const broker: TestBroker = createTestBroker(
    doing({
      pipe: () => opened.push(broker.pipe().writable.getWriter().write(connect())),
      connect: () => opened.push(broker.connect()),
      release: () => faults.release(),
    }),
  );
  onTestFinished(() => broker.close(100));
  const [client, stalled] = [await broker.connect(), await broker.connect({ faults })];
  faults.stall();
  const late = stalled.publish("late", "", { qos: 1 });
  for (const topic of ["pipe", "connect", "release"]) await client.publish(topic, "", { qos: 1 });
  await late;
  await Promise.all(opened);
  expect(broker.counters.clientsConnected).toBe(4);
});

test("the calls of a policy take effect before later calls", async () => {
  const broker: LocalBroker = start({
    authorizePublish: (_, topic) => {
      if (topic === "t") broker.publish("log", "1");
      return true;
    },
  });
  const client = await broker.connect();
  const loop = await client.subscribe("log");
  void client.publish("t", "").then(() => broker.publish("log", "2"));
  expect([(await loop.next()).value, (await loop.next()).value].map(words)).toEqual([
    "log 1",
    "log 2",
  ]);
});
