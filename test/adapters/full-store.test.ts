// A store that has no room, and a store that fails: what the driver does, in virtual time.
import { expect, onTestFinished, test } from "vitest";
import type { Store } from "../../adapters/storage/store.ts";
import type { TestBroker } from "../../adapters/testing/mod.ts";
import { createTestBroker } from "../../adapters/testing/mod.ts";
import { codecKind } from "../support/codecs.ts";

const noRoom = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });

/** A broker whose store throws `fault.error`, if there is one, at each attempt. */
function start(options: Parameters<typeof createTestBroker>[0] = {}) {
  const fault: { error: unknown } = { error: null };
  /** The time and the last write of each attempt. */
  const attempts: [millis: number, lastSeq: number][] = [];
  let stored = 0;
  const store: Store = {
    isDurable: true,
    commit: async (batch) => {
      attempts.push([broker.clock.now, batch.lastSeq]);
      if (fault.error !== null) throw fault.error;
      expect(batch.firstSeq).toBe(stored + 1);
      stored = batch.lastSeq;
    },
    close: async () => {},
  };
  const broker: TestBroker = createTestBroker({ codec: codecKind, store, ...options });
  const events: unknown[] = [];
  broker.on("storeFull", ({ error }) => events.push(["full", error]));
  broker.on("storeRecovered", ({ fullMillis }) => events.push(["recovered", fullMillis]));
  broker.on("storeFailed", ({ error }) => events.push(["failed", error]));
  onTestFinished(() => broker.close(100));
  return { broker, fault, attempts, events, stored: () => stored };
}

/** Publishes a message that the store must keep; the result is true once it is acknowledged. */
async function publish(broker: TestBroker, topic = "t"): Promise<{ isAcknowledged: boolean }> {
  const client = await broker.connect();
  const result = { isAcknowledged: false };
  void client
    .publish(topic, "x", { qos: 1, retain: true })
    .then(() => (result.isAcknowledged = true))
    .catch(() => {});
  await broker.settled();
  return result;
}

test("a full store gets the same batch again after growing pauses, and then the broker goes on", async () => {
  const { broker, fault, attempts, events } = start({ limits: { storeRetryMillisMax: 300 } });
  expect(broker.storeState).toBe("ready");
  fault.error = noRoom;
  const first = await publish(broker);
  expect(broker.storeState).toBe("full");
  await broker.clock.advance(1250);
  expect(attempts.map(([millis]) => millis)).toEqual([0, 50, 150, 350, 650, 950, 1250]);
  expect(new Set(attempts.map(([, lastSeq]) => lastSeq)).size).toBe(1);
  expect([first.isAcknowledged, events]).toEqual([false, [["full", noRoom]]]);
  expect(broker.counters).toMatchObject({ storeFull: 1, commitsFailed: 7 });
  const second = await publish(broker, "u");
  expect([first.isAcknowledged, second.isAcknowledged]).toEqual([false, false]);

  fault.error = null;
  await broker.clock.advance(300);
  expect([first.isAcknowledged, second.isAcknowledged]).toEqual([true, true]);
  expect(broker.storeState).toBe("ready");
  expect(events).toEqual([
    ["full", noRoom],
    ["recovered", 1550],
  ]);
  // The pauses begin anew.
  fault.error = noRoom;
  await publish(broker);
  const { length } = attempts;
  await broker.clock.advance(150);
  expect(attempts.slice(length - 1).map(([millis]) => millis - 1550)).toEqual([0, 50, 150]);
});

test("a store that stays full for longer than storeFullMillisMax counts as failed", async () => {
  const { broker, fault, events } = start({ limits: { storeFullMillisMax: 10_000 } });
  fault.error = noRoom;
  await publish(broker);
  await broker.clock.advance("9s");
  expect(events).toEqual([["full", noRoom]]);
  await broker.clock.advance("3s");
  expect(events).toEqual([
    ["full", noRoom],
    ["failed", noRoom],
  ]);
  expect(broker.storeState).toBe("failed");
});

test.each([
  ["a code of the system", Object.assign(new Error(), { code: "EDQUOT" }), "full"],
  ["the largest size of a file", Object.assign(new Error(), { code: "EFBIG" }), "full"],
  ["the error of a browser", new DOMException("quota", "QuotaExceededError"), "full"],
  ["the cause of an error", new Error("commit failed", { cause: noRoom }), "full"],
  ["an error of the disk", Object.assign(new Error(), { code: "EIO" }), "failed"],
  ["a mistake of the store", new TypeError("x is undefined"), "failed"],
  ["no error at all", undefined, "failed"],
] as const)("tells a full store from a broken one by %s", async (_, error, state) => {
  const { broker, fault, attempts, events } = start();
  fault.error = error;
  const { isAcknowledged } = await publish(broker);
  expect([broker.storeState, events, isAcknowledged]).toEqual([state, [[state, error]], false]);
  await broker.clock.advance("10s");
  expect(attempts.length > 1).toBe(state === "full");
});

test("a broker that closes while its store is full makes no further attempt", async () => {
  const { broker, fault, attempts } = start();
  fault.error = noRoom;
  await publish(broker);
  await broker.close(100);
  const { length } = attempts;
  await broker.clock.advance("10s");
  expect(attempts.length).toBe(length);
});

test("while it closes, a broker stores the messages that it acknowledged before their commit", async () => {
  const { broker, attempts, stored } = start({
    durability: [{ filter: "#", acknowledge: "received" }],
  });
  let finish = (): void => {};
  const slow = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const { isAcknowledged } = await publish(broker, "a");
  expect(isAcknowledged).toBe(true);
  const before = stored();
  const client = await broker.connect();
  await client.publish("b", "x", { qos: 1, retain: true });
  setTimeout(finish, 0);
  await slow;
  await broker.close(1000);
  expect(stored()).toBeGreaterThan(before);
  expect(stored()).toBe(attempts.at(-1)![1]);
});

test("a broker that closes while its store is full knows how many acknowledged messages are lost", async () => {
  const { broker, fault } = start({
    durability: [{ filter: "fast/#", acknowledge: "received" }],
  });
  await publish(broker, "fast/stored");
  // No reply waits for it, so that it waits for other writes.
  await broker.clock.advance("10ms");
  fault.error = noRoom;
  const lost = [await publish(broker, "fast/1"), await publish(broker, "fast/2")];
  const waiting = await publish(broker, "stored");
  expect(lost).toEqual([{ isAcknowledged: true }, { isAcknowledged: true }]);
  expect(waiting).toEqual({ isAcknowledged: false });
  await broker.close(100);
  expect(broker.countUnstored()).toBe(2);
});
