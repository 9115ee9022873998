/** A running broker in a program whose tests replace the host's clock and timers. */
import { execFile } from "node:child_process";
import { mock } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { BareBroker, localRuntime } from "../../adapters/local/bare-broker.ts";
import { createLocalBroker } from "../../adapters/local/mod.ts";
import { createBroker } from "../../adapters/node/mod.ts";
import { createTestBroker } from "../../adapters/testing/mod.ts";
import type { Millis } from "../../core/mod.ts";
import { needs } from "../support/needs.ts";
import { concat, connect, pingreq, publish, subscribe } from "../support/packets.ts";
import { describeOn, runtimes } from "../support/runtimes.ts";
import { openRawTransport, openSocket } from "../support/socket-client.ts";

/** All globals that Vitest can replace, except those that its own workers need. */
const toFake = [
  ...(["setTimeout", "clearTimeout", "setInterval", "clearInterval", "setImmediate"] as const),
  ...(["clearImmediate", "queueMicrotask", "Date", "performance", "hrtime"] as const),
];
const frameworks: Readonly<Record<string, { fake(): void; advance(): void; restore(): void }>> = {
  Vitest: {
    fake: () => vi.useFakeTimers({ toFake, now: 0 }),
    advance: () => vi.advanceTimersByTime(86_400_000),
    restore: () => vi.useRealTimers(),
  },
  "node:test": {
    fake: () => mock.timers.enable(),
    advance: () => mock.timers.tick(86_400_000),
    restore: () => mock.timers.reset(),
  },
};

afterEach(() => {
  vi.useRealTimers();
  mock.timers.reset();
});

describe.each(Object.entries(frameworks))("while %s replaces the timers", (_, framework) => {
  test.each(["tcp", "ws"])("a broker serves over %s, also afterwards", async (transport) => {
    const broker = await createBroker({ tcp: { port: 0 }, ws: { port: 0 } });
    onTestFinished(() => broker.close(100));
    const address = broker.addresses.find((one) => one.startsWith(transport))!;
    const old = await openSocket(address);
    old.send(concat(connect({ clientId: "old", keepAlive: 1 }), subscribe(1, ["t", 1])));
    await old.takes(2);
    framework.fake();
    framework.advance();
    for (let id = 1; id < 12; id++) old.send(publish("t", "x", { qos: 1, id }));
    expect((await old.takes(22)).filter((line) => line.startsWith("PUBLISH"))).toHaveLength(11);
    const fresh = await openSocket(address);
    fresh.send(concat(connect({ clientId: "fresh" }), subscribe(1, ["u", 0])));
    await fresh.takes(2);
    broker.publish("u", "from the program");
    expect(await fresh.takes(1)).toEqual(['PUBLISH u "from the program" q0']);
    // Real time continues: a silent client is closed, and a day of fake time closes no client.
    expect(broker.counters.closedKeepAlive).toBe(0);
    await old.closed;
    expect(broker.counters.closedKeepAlive).toBe(1);
    framework.restore();
    broker.publish("u", "after");
    expect(await fresh.takes(1)).toEqual(['PUBLISH u "after" q0']);
    fresh.send(pingreq);
    expect(await fresh.takes(1)).toEqual(["PINGRESP"]);
    expect(broker.counters.clockHeld).toBe(0);
  });

  test.each(["tcp", "ws"])("peers that do not close are cut off over %s", async (transport) => {
    const broker = await createBroker({ tcp: { port: 0 }, ws: { port: 0 } });
    const address = broker.addresses.find((one) => one.startsWith(transport))!;
    const { socket, framed } = await openRawTransport(address);
    socket.resume();
    const gone = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => {});
    socket.write(framed(connect({ clientId: "c" })));
    await vi.waitUntil(() => broker.counters.clientsConnected === 1, { interval: 1 });
    framework.fake();
    // A peer that continues to write learns that it was cut off.
    socket.once("end", () => {
      const write = (): void => void (socket.destroyed || socket.write(framed(pingreq), onWritten));
      const onWritten = (): void => void realTimeout(write, 50);
      write();
    });
    broker.disconnect("c");
    await gone;
    await broker.close(10);
  });

  test("a broker starts, serves and closes, also with a peer that does not close", async () => {
    framework.fake();
    const broker = await createBroker({ tcp: { port: 0 } });
    const client = await openSocket(broker.addresses[0]!);
    client.pause();
    client.send(connect());
    await broker.close(10);
    const other = createLocalBroker();
    await other.connect();
    await other.close();
  });

  test("clients within the process publish, subscribe and disconnect", async () => {
    const broker = createLocalBroker();
    onTestFinished(() => broker.close(100));
    const client = await broker.connect({ clientId: "c", keepAliveSeconds: 1 });
    framework.fake();
    framework.advance();
    const messages = await client.subscribe("a/#", { qos: 2 });
    for (const qos of [0, 1, 2] as const) await client.publish("a/b", `${qos}`, { qos });
    const seen: number[] = [];
    for await (const { qos } of messages) if (seen.push(qos) === 3) break;
    expect(seen).toEqual([0, 1, 2]);
    const other = await broker.connect({ clientId: "d" });
    await other.disconnect();
    framework.restore();
    await client.publish("a/b", "after", { qos: 1 });
    await client.disconnect();
    expect(broker.counters.clockHeld).toBe(0);
  });

  test("the time of a test broker advances only when told", async () => {
    framework.fake();
    const broker = createTestBroker();
    onTestFinished(() => broker.close(100));
    const silent = await broker.connect({ keepAliveSeconds: 60, faults: { drop: "PINGRESP" } });
    framework.advance();
    await broker.settled();
    expect([broker.clock.now, silent.isClosed]).toEqual([0, false]);
    broker.faults.stall();
    await broker.clock.advance("90s");
    expect(broker.counters.clientsConnected).toBe(0);
    broker.faults.release();
    await silent.closed;
  });
});

const realTimeout = globalThis.setTimeout;

/** A loop whose clock and alarms the test controls. */
function ownLoop() {
  const alarms = new Map<object, { readonly ring: () => void; readonly delayMillis: number }>();
  return {
    millis: 1_000_000,
    alarms,
    now() {
      return this.millis as Millis;
    },
    schedule: (turn: () => void) => void setImmediate(turn),
    setAlarm(ring: () => void, delayMillis: number) {
      const alarm = {};
      alarms.set(alarm, { ring, delayMillis });
      return alarm;
    },
    clearAlarm: (alarm: unknown) => void alarms.delete(alarm as object),
  };
}

/** A broker on this loop, with a client that is silent from now on and is closed after a minute and a half. */
async function withSilentClient() {
  const loop = ownLoop();
  const broker = new BareBroker({ ...localRuntime(), loop }, { limits: { sysMillis: 0 } });
  const { readable, writable } = broker.pipe();
  const writer = writable.getWriter();
  void writer.write(connect({ clientId: "silent", keepAlive: 60 }));
  await readable.getReader().read();
  const turn = async (): Promise<void> => {
    broker.publish("t", "something happens");
    for (let n = 0; n < 3; n++) await new Promise((resolve) => setImmediate(resolve));
  };
  await turn();
  return { loop, broker, turn };
}

describe("a clock of the host", () => {
  test("that goes back is counted, and keep alive continues from the time before", async () => {
    const { loop, broker, turn } = await withSilentClient();
    loop.millis += 60_000;
    await turn();
    loop.millis = 10;
    await turn();
    expect(broker.counters.clockHeld).toBe(1);
    loop.millis += 29_000;
    await turn();
    expect(broker.counters).toMatchObject({ closedKeepAlive: 0, clockHeld: 1 });
    loop.millis += 2000;
    await turn();
    expect(broker.counters).toMatchObject({ closedKeepAlive: 1, clockHeld: 1 });
  });

  test("that returns to the right time makes no deadline early", async () => {
    const { loop, broker, turn } = await withSilentClient();
    loop.millis = 0;
    await turn();
    loop.millis = 5;
    await turn();
    loop.millis = 1_000_000 + 1000;
    await turn();
    loop.millis += 88_000;
    await turn();
    expect(broker.counters.closedKeepAlive).toBe(0);
    loop.millis += 2000;
    await turn();
    expect(broker.counters.closedKeepAlive).toBe(1);
  });

  test("that stands still does not make the broker spin", async () => {
    const { loop, turn } = await withSilentClient();
    let rings = 0;
    for (; rings < 20; rings++) {
      const [alarm] = loop.alarms;
      if (alarm === undefined) break;
      // A delay near zero would keep the processor busy.
      expect(alarm[1].delayMillis).toBeGreaterThan(1000);
      loop.alarms.delete(alarm[0]);
      alarm[1].ring();
    }
    expect(rings).toBe(20);
    await turn();
    expect(loop.alarms.size).toBe(1);
  });

  test("whose timer was removed gets a new timer at the next event", async () => {
    const { loop, broker, turn } = await withSilentClient();
    loop.alarms.clear();
    loop.millis += 30_000;
    await turn();
    loop.millis += 59_000;
    await turn();
    const [alarm] = [...loop.alarms.values()].slice(-1);
    loop.millis += 2000;
    alarm!.ring();
    expect(broker.counters.closedKeepAlive).toBe(1);
  });
});

const fixture = fileURLToPath(new URL("fake-timers-fixture.mjs", import.meta.url));

describeOn(Object.keys(runtimes), (_, [command, ...flags]) => {
  test("a broker serves while the globals are replaced, and afterwards", async () => {
    const { stdout } = await promisify(execFile)(command, [...flags, fixture], { timeout: 60_000 });
    expect(JSON.parse(stdout)).toEqual({ during: 22, after: 2, ended: ["b", 0x8d], held: 0 });
  });
});

test(
  "under the fake timers of Bun's test runner, a broker serves, and its time continues afterwards",
  needs("Bun"),
  async () => {
    const script = fileURLToPath(new URL("bun-fake-timers-fixture.mjs", import.meta.url));
    const ran = promisify(execFile)(runtimes["Bun"]![0], ["test", script], { timeout: 60_000 });
    expect((await ran).stderr).toContain("1 pass");
  },
);
