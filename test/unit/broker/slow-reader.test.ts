/** Clients that take their output slowly or not at all. */
import { expect, test } from "vitest";
import { inspect } from "../../../core/mod.ts";
import { fanout, TestBroker } from "../../support/broker.ts";
import { concat, pingreq } from "../../support/packets.ts";

const line = (n: number): string => `PUBLISH t "${n}" q0`;

test("a blocked subscriber costs queue entries, not encoded bytes", () => {
  const messageBytes = (subscribers: number): number => {
    const { world, readers, publisher } = fanout(subscribers);
    for (const reader of readers) reader.writable(false);
    const payload = "x".repeat(1000);
    for (let id = 1; id <= 50; id++) publisher.publishes("t", payload, { qos: 1, id });
    for (const reader of readers) expect(reader.takes()).toEqual([]);
    expect(world.count("messages")).toBe(50);
    expect(world.count("queued")).toBe(30 * subscribers); // the window has the other 20
    return world.count("messageBytes");
  };
  expect(messageBytes(1)).toBeGreaterThan(50 * 1000);
  expect(messageBytes(10)).toBe(messageBytes(1));
});

test("a blocked subscriber delays no other subscriber, and loses QoS 0 messages beyond outputBytesMax", () => {
  const { world, readers, publisher } = fanout(2, { limits: { outputBytesMax: 2000 } });
  const [slow, fast] = readers as [(typeof readers)[0], (typeof readers)[0]];
  slow.writable(false);
  for (let n = 0; n < 100; n++) publisher.publishes("t", `${n}`);
  expect(fast.takes()).toEqual(Array.from({ length: 100 }, (_, n) => line(n)));
  expect(slow.takes()).toEqual([]);
  const dropped = world.count("droppedSlowReader");
  expect(dropped).toBeGreaterThan(0);
  slow.writable(true);
  expect(slow.takes()).toEqual(Array.from({ length: 100 - dropped }, (_, n) => line(n)));
  expect(world.count("outputBytes")).toBe(0);
  expect(world.count("messages")).toBe(0);
});

test("keeps QoS 1 messages for a slow subscriber within the queue's limits", () => {
  const { world, readers, publisher } = fanout(1, { limits: { queuedMessagesMax: 30 } });
  const [slow] = readers as [(typeof readers)[0]];
  slow.writable(false);
  for (let id = 1; id <= 60; id++) publisher.publishes("t", `${id}`, { qos: 1, id });
  expect(world.count("droppedQueueFull")).toBe(10); // 20 have a window place, 30 are queued
  expect(publisher.takes()).toHaveLength(60);
  slow.writable(true);
  expect(slow.takes()).toHaveLength(20);
});

test("sendableBytes counts the output of connections that take bytes", () => {
  const { world, readers, publisher } = fanout(2);
  readers[0]!.writable(false);
  publisher.publishes("t", "x".repeat(1000));
  expect(world.broker.sendableBytes).toBe(0);
  world.drains = false;
  publisher.publishes("t", "x".repeat(1000));
  expect(world.broker.sendableBytes).toBeGreaterThan(2000);
  world.drain();
  expect(world.broker.sendableBytes).toBe(0);
});

test("stops reading a client that does not take its replies until they are sent", () => {
  const world = new TestBroker();
  const client = world.connected();
  client.writable(false);
  const pings = concat(...Array.from({ length: 9000 }, () => pingreq));
  client.send(pings);
  expect(client.isReading).toBe(false);
  expect(world.count("inputBytes")).toBeGreaterThan(0);
  client.writable(true);
  expect(client.isReading).toBe(true);
  expect(client.takes()).toHaveLength(9000);
  expect(world.count("inputBytes")).toBe(0);
});

test("stops reading a client that takes no replies at a quarter of a megabyte of replies, however long each is", () => {
  const world = new TestBroker();
  const client = world.connected();
  const filters = Array.from({ length: 20_000 }, (_, n) => [`${n}`, 0] as const);
  client.writable(false);
  for (let n = 0; client.isReading; n++) client.subscribes(n + 1, ...filters);
  const [state] = inspect(world.broker).connections;
  expect(state!.replyCount).toBe(14);
  client.writable(true);
  expect(client.isReading).toBe(true);
  expect(client.takesBytes().length).toBe(14 * 20_006);
});
