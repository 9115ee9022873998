// For `bun test`, whose fake timers do not replace globals: the runtime's own clock and timers stop.
import { expect, jest, test } from "bun:test";
import { createBroker } from "../../dist/adapters/bun/mod.js";
import { createLocalBroker } from "../../dist/adapters/local/mod.js";

test("a broker serves while timers are fake, and its time continues afterwards", async () => {
  const broker = await createBroker({ tcp: { port: 0 } });
  const local = createLocalBroker();
  const client = await local.connect({ clientId: "c" });
  const messages = await client.subscribe("a");
  jest.useFakeTimers();
  await client.publish("a", "x", { qos: 1 });
  await messages.next();
  expect(local.counters.clockHeld).toBe(1);
  jest.advanceTimersByTime(3_600_000);
  await client.publish("a", "x", { qos: 1 });
  jest.useRealTimers();
  await client.publish("a", "x", { qos: 1 });
  const silent = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(new URL(broker.addresses[0]).port),
    socket: { data() {}, close: (socket) => socket.data.closed() },
    data: {},
  });
  const closed = new Promise((resolve) => {
    silent.data.closed = resolve;
  });
  silent.write(Uint8Array.of(0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 1, 0, 1, 97));
  await closed;
  expect(broker.counters.closedKeepAlive).toBe(1);
  await broker.close(100);
  await local.close();
});
