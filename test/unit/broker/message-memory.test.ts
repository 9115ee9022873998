/** Messages beyond messageBytesMax. */
import { expect, test } from "vitest";
import { Reason } from "../../../core/mod.ts";
import { fanout, TestBroker } from "../../support/broker.ts";

test("a QoS 2 PUBLISH that exceeded the memory limit is accepted when it is sent again", () => {
  const limits = { messageBytesMax: 1_048_576, packetBytesMax: 1_000_000 };
  const world = new TestBroker({ limits });
  const fill = world.connected("fill");
  fill.publishes("r", new Uint8Array(900_000), { retain: true });
  const kept = { clientId: "kept", clean: false };
  world.connected("s").subscribes(1, ["t", 2]);
  const first = world.connected(kept);
  first.publishes("t", new Uint8Array(300_000), { qos: 2, id: 3 });
  expect(first.isOpen).toBe(false);
  fill.publishes("r", "", { retain: true });
  const second = world.connected(kept);
  second.publishes("t", new Uint8Array(300_000), { qos: 2, id: 3, dup: true });
  expect(second.takes()).toEqual(["PUBREC #3"]);
  expect(world.count("publishesDuplicate")).toBe(0);
});

test("a PUBLISH beyond messageBytesMax is not acknowledged, and its publisher is closed", () => {
  const limits = { messageBytesMax: 1_048_576, packetBytesMax: 1_000_000 };
  const { world, readers, publisher } = fanout(1, { limits });
  readers[0]!.writable(false);
  publisher.publishes("t", new Uint8Array(900_000), { qos: 1, id: 1 });
  publisher.publishes("t", new Uint8Array(900_000));
  expect(publisher.isOpen).toBe(true); // QoS 0 is dropped
  publisher.publishes("t", new Uint8Array(900_000), { qos: 1, id: 2 });
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  expect(publisher.reason).toBe(Reason.QuotaExceeded);
  expect(world.count("droppedNoMemory")).toBe(2);
});

test("a message queued for very many sessions stays within messageBytesMax", () => {
  const limits = { messageBytesMax: 1_048_576 };
  const world = new TestBroker({ limits });
  const clients = Array.from({ length: 40 }, (_, n) => ({ clientId: `r${n}`, clean: false }));
  for (const fields of clients) world.connected(fields).subscribes(1, ["t", 1]).cut();
  const publisher = world.connected("p");
  for (let n = 0; n < 5000; n++) publisher.publishes("t", `${n}`, { qos: 1 });
  expect(publisher.isOpen).toBe(true);
  // An entry takes 16 bytes.
  const queuedBytes = world.count("queued") * 16;
  expect(queuedBytes + world.count("messageBytes")).toBeLessThanOrEqual(limits.messageBytesMax);
  expect(queuedBytes).toBeGreaterThan(limits.messageBytesMax / 2);
  expect(world.count("droppedQueueFull")).toBe(40 * 5000 - world.count("queued"));
  // The oldest messages are kept.
  const reader = world.connected(clients[0]!);
  expect(reader.takes(3)).toEqual([0, 1, 2].map((n) => `PUBLISH t "${n}" q1 #${n + 1}`));
});
