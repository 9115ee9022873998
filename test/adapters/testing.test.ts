import mqtt from "mqtt";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { LocalMessage, TestBroker } from "../../adapters/testing/mod.ts";
import { ClosedError, ConfigError, createTestBroker, Faults } from "../../adapters/testing/mod.ts";
import { codecKind } from "../support/codecs.ts";
import { duplex } from "../support/duplex.ts";

function start(options: Parameters<typeof createTestBroker>[0] = {}): TestBroker {
  const broker = createTestBroker({ codec: codecKind, ...options });
  onTestFinished(() => broker.close(100));
  return broker;
}

const words = ({ topic, payload, dup }: LocalMessage): string =>
  `${topic} ${new TextDecoder().decode(payload)}${dup ? " dup" : ""}`;

/** The messages of a filter in order of arrival. */
async function watched(broker: TestBroker, filter: string): Promise<string[]> {
  const client = await broker.connect();
  const got: string[] = [];
  await client.subscribe(filter, { qos: 2 }, (message) => void got.push(words(message)));
  return got;
}

describe("virtual time", () => {
  test("advances only when told, by durations of every unit", async () => {
    const { clock } = start();
    expect(clock.now).toBe(0);
    await clock.advance("500ms");
    await clock.advance(1);
    await Promise.all([clock.advance("1.5s"), clock.advance("1h 2m"), clock.advance("1d")]);
    expect(clock.now).toBe(501 + 1500 + 3_720_000 + 86_400_000);
    for (const wrong of ["", "1", "-1s", "1 fortnight", -1, Number.NaN]) {
      expect(() => clock.advance(wrong)).toThrow(ConfigError);
    }
  });

  test("keeps a connected client alive, and ends a silent one", async () => {
    const broker = start();
    const wills = await watched(broker, "gone");
    const faults = new Faults();
    const will = { topic: "gone", payload: "c", qos: 1 } as const;
    const client = await broker.connect({ keepAliveSeconds: 60, will, faults });
    await broker.clock.advance("1d");
    expect(client.isClosed).toBe(false);
    faults.stall();
    await broker.clock.advance("59s");
    expect(broker.counters.clientsConnected).toBe(2);
    await broker.clock.advance("31s");
    expect([broker.counters.clientsConnected, wills]).toEqual([1, ["gone c"]]);
    // The client does not know of the cut yet.
    expect(client.isClosed).toBe(false);
    faults.release();
    expect(await client.closed).toMatchObject({ by: "broker", reason: 0x8d });
  });

  test("publishes a will after its delay, and not if its client has reconnected", async () => {
    const broker = start();
    const wills = await watched(broker, "gone/#");
    const connect = (clientId: string, cleanStart = true) =>
      broker.connect({
        ...{ clientId, cleanStart, sessionExpirySeconds: 3600 },
        will: { topic: `gone/${clientId}`, delaySeconds: 30 },
      });
    for (const clientId of ["a", "b"]) await (await connect(clientId)).abort();
    await broker.clock.advance("29s");
    const back = await connect("a", false);
    expect(back.sessionPresent).toBe(true);
    await broker.clock.advance("1s");
    expect(wills).toEqual(["gone/b "]);
  });

  test("ends sessions and messages when they expire", async () => {
    const broker = start();
    const options = { clientId: "c", sessionExpirySeconds: 3600 };
    const client = await broker.connect(options);
    await client.subscribe("a/#", { qos: 1 });
    await client.disconnect();
    broker.publish("a/short", "", { qos: 1, properties: { MessageExpiryInterval: 60 } });
    broker.publish("a/long", "", { qos: 1, properties: { MessageExpiryInterval: 600 } });
    broker.publish("r", "kept", { retain: true, properties: { MessageExpiryInterval: 90 } });
    await broker.clock.advance("89s");
    const again = await broker.connect({ ...options, cleanStart: false });
    const messages = await again.subscribe("a/#", { qos: 1 });
    const { value } = await messages.next();
    expect(value).toMatchObject({ topic: "a/long", properties: { MessageExpiryInterval: 511 } });
    const kept = await watched(broker, "r");
    await broker.clock.advance("1s");
    expect([kept, await watched(broker, "r")]).toEqual([["r kept"], []]);
    await broker.settled();
    expect(broker.counters.retainedMessages).toBe(0);
    await again.disconnect();
    await broker.clock.advance("1h");
    const late = await broker.connect({ ...options, cleanStart: false });
    expect(late.sessionPresent).toBe(false);
  });

  test("each event happens at its own time, and clients receive its packets before time continues", async () => {
    const broker = start({ authorizePublish: async () => true });
    const at: number[] = [];
    const client = await broker.connect();
    await client.subscribe("gone", async () => {
      await client.publish("answer", "", { qos: 2 });
      at.push(broker.clock.now);
    });
    for (const delaySeconds of [20, 10, 30]) {
      const will = { topic: "gone", delaySeconds };
      await (await broker.connect({ sessionExpirySeconds: 60, will })).abort();
    }
    await broker.clock.advance("1m");
    expect(at).toEqual([10_000, 20_000, 30_000]);
  });

  test("does not depend on timers that a test replaces", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const broker = createTestBroker();
    const client = await broker.connect({ keepAliveSeconds: 10 });
    await client.publish("a", "", { qos: 2 });
    await broker.clock.advance("1m");
    expect(client.isClosed).toBe(false);
    await broker.close();
  });
});

test("runs with the same seed are the same", async () => {
  const run = async (seed: number): Promise<string[]> => {
    const broker = start({ seed });
    const got: string[] = [];
    for (let n = 0; n < 3; n++) {
      const member = await broker.connect();
      got.push(member.clientId);
      await member.subscribe("$share/g/t", (message) => void got.push(`${n} ${words(message)}`));
    }
    for (let n = 0; n < 20; n++) broker.publish("t", `${n}`);
    await broker.settled();
    return got;
  };
  expect(await run(7)).toEqual(await run(7));
  expect(await run(7)).not.toEqual(await run(8));
});

describe("a connection that is refused", () => {
  test("receives the given reason, for a given number of times", async () => {
    const broker = start();
    broker.faults.refuse({ reason: 0x89, count: 2 }).refuse();
    for (const reason of [0x89, 0x89]) {
      await expect(broker.connect()).rejects.toMatchObject({ packet: "CONNACK", reason });
    }
    await expect(broker.connect()).rejects.toBeInstanceOf(ClosedError);
    await expect(broker.connect({ faults: { refuse: 0x97 } })).rejects.toMatchObject({
      reason: 0x97,
    });
    await broker.connect();
    expect(() => broker.faults.refuse({ reason: 5 })).toThrow(ConfigError);
    expect(() => broker.faults.drop("NOTHING" as never)).toThrow(ConfigError);
  });
});

describe("a connection that is stalled", () => {
  test("continues in both directions once it is released", async () => {
    const broker = start();
    const faults = new Faults();
    const client = await broker.connect({ faults });
    const got: string[] = [];
    await client.subscribe("a", { qos: 1 }, (message) => void got.push(words(message)));
    faults.stall("toClient");
    broker.publish("a", "1", { qos: 1 });
    broker.publish("a", "2", { qos: 1 });
    await broker.settled();
    faults.stall("toBroker");
    const published = client.publish("a", "3", { qos: 2 });
    await broker.settled();
    expect([got, broker.counters.publishesReceived]).toEqual([[], 0]);
    faults.release("toBroker");
    await broker.settled();
    expect([got, broker.counters.publishesReceived]).toEqual([[], 1]);
    faults.clear();
    await published;
    await broker.settled();
    expect(got).toEqual(["a 1", "a 2", "a 3"]);
  });

  test("is closed by the broker when it takes no bytes for too long", async () => {
    const broker = start({ limits: { stallMillisMax: 30_000 } });
    const client = await broker.connect({ clientId: "slow" });
    await client.subscribe("a");
    broker.faults.stall();
    broker.publish("a", "x");
    await broker.clock.advance("40s");
    expect(broker.counters.clientsConnected).toBe(0);
    // A stalled client can still be closed, and so can the broker.
    await client.abort();
    const stalled = broker.connect();
    await broker.settled();
    await broker.close();
    await expect(stalled).rejects.toBeInstanceOf(ClosedError);
  });
});

describe("a connection that is cut", () => {
  test("is cut after a number of bytes, in either direction", async () => {
    const broker = start();
    for (const cutAfter of [{ toBroker: 0 }, { toBroker: 9 }, { toClient: 0 }, { toClient: 3 }]) {
      const connected = broker.connect({ faults: { cutAfter } });
      await expect(connected).rejects.toBeInstanceOf(ClosedError);
    }
    await broker.settled();
    const { connectionsOpened, connectionsClosed } = broker.counters;
    expect([connectionsOpened, connectionsClosed]).toEqual([4, 4]);
    const faults = new Faults();
    const client = await broker.connect({ faults });
    faults.cutAfter(100, "toBroker");
    await client.publish("a", "x".repeat(50), { qos: 1 });
    const cut = client.publish("a", "x".repeat(50), { qos: 1 });
    await expect(cut).rejects.toBeInstanceOf(ClosedError);
    expect(await client.closed).toMatchObject({ by: "transport" });
    expect(broker.counters.publishesReceived).toBe(1);
  });

  test("is cut with all others at once", async () => {
    const broker = start();
    const clients = await Promise.all([broker.connect(), broker.connect()]);
    broker.faults.cut();
    for (const { closed } of clients) expect(await closed).toMatchObject({ by: "transport" });
    await broker.connect();
  });
});

describe("an acknowledgement that is lost", () => {
  test.each([
    [1, "PUBACK", "toClient", 2],
    [2, "PUBREC", "toClient", 1],
    [2, "PUBREL", "toBroker", 1],
    [2, "PUBCOMP", "toClient", 1],
  ] as const)(
    "QoS %i, %s %s: the next connection completes the publish",
    async (qos, packet, direction, times) => {
      const broker = start();
      const got = await watched(broker, "a");
      const options = { clientId: "c", sessionExpirySeconds: 60 };
      const faults = new Faults().drop(packet, { direction });
      const client = await broker.connect({ ...options, faults });
      const published = client.publish("a", "once", { qos });
      const failed = expect(published).rejects.toBeInstanceOf(ClosedError);
      await broker.settled();
      faults.cut();
      await failed;
      const again = await broker.connect({ ...options, cleanStart: false });
      expect(again.sessionPresent).toBe(true);
      await again.publish("a", "next", { qos });
      await broker.settled();
      expect(got).toEqual([...Array(times).fill("a once"), "a next"]);
    },
  );

  test.each([
    [1, "PUBACK", "toBroker", ["a once", "a once dup"]],
    [2, "PUBREC", "toBroker", ["a once"]],
    [2, "PUBREL", "toClient", ["a once"]],
    [2, "PUBCOMP", "toBroker", ["a once"]],
  ] as const)(
    "QoS %i, %s %s: the next connection completes the delivery",
    async (qos, packet, direction, expected) => {
      const broker = start();
      const got: string[] = [];
      const options = { clientId: "c", sessionExpirySeconds: 60 };
      const faults = new Faults().drop(packet, { direction });
      const client = await broker.connect({ ...options, faults });
      await client.subscribe("a", { qos }, (message) => void got.push(words(message)));
      broker.publish("a", "once", { qos });
      await broker.settled();
      faults.cut();
      await client.closed;
      const again = await broker.connect({ ...options, cleanStart: false });
      again.onMessage((message) => void got.push(words(message)));
      await broker.settled();
      broker.publish("a", "next", { qos });
      await broker.settled();
      expect(got).toEqual([...expected, "a next"]);
      expect(broker.counters.inflight).toBe(0);
    },
  );
});

describe("a client that speaks MQTT itself", () => {
  test("over a pipe that is refused, then stalled, then cut", async () => {
    const broker = start();
    const faults = new Faults();
    broker.faults.refuse({ reason: 0x88 });
    const connect = (): mqtt.MqttClient => {
      const client = new mqtt.MqttClient(() => duplex(broker.pipe({ faults })) as never, {
        ...{ reconnectPeriod: 0, protocolVersion: 5, keepalive: 60 },
      });
      onTestFinished(() => void client.end(true));
      return client;
    };
    const refused = connect();
    const error = await new Promise<Error>((resolve) => refused.once("error", resolve));
    expect(error.message).toContain("Server unavailable");
    const client = connect();
    await new Promise((resolve) => client.once("connect", resolve));
    await client.subscribeAsync("a", { qos: 1 });
    const came = new Promise<string>((resolve) => client.once("message", resolve));
    faults.stall();
    const published = client.publishAsync("a", "x", { qos: 1 });
    await broker.settled();
    expect(broker.counters.publishesReceived).toBe(0);
    faults.release();
    await published;
    expect(await came).toBe("a");
    const closed = new Promise((resolve) => client.once("close", () => resolve("closed")));
    faults.cut();
    expect(await closed).toBe("closed");
  });
});
