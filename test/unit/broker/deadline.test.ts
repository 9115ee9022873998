import { expect, test } from "vitest";
import { EffectKind, Reason, Verdict } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { connect, pingreq, publish } from "../../support/packets.ts";

test("[MQTT311-3.1.2-24] closes a client that is silent for one and a half times its keep alive", () => {
  const world = new TestBroker();
  const client = world.connected({ keepAlive: 10 });
  world.advance(14_999);
  expect(client.isOpen).toBe(true);
  world.advance(1);
  expect(client.ended).toBe(EffectKind.Abort);
  expect(client.reason).toBe(Reason.KeepAliveTimeout);
  expect(world.count("closedKeepAlive")).toBe(1);
});

test("any complete packet restarts the keep alive, a partial one does not", () => {
  const world = new TestBroker();
  const client = world.connected({ keepAlive: 10 });
  for (let n = 0; n < 10; n++) {
    world.advance(14_999);
    client.send(n % 2 === 0 ? pingreq : publish("a", "x"));
    expect(client.isOpen).toBe(true);
  }
  world.advance(14_000);
  client.send(pingreq.subarray(0, 1));
  world.advance(1000);
  expect(client.isOpen).toBe(false);
});

test("a keep alive of 0 never expires", () => {
  const world = new TestBroker();
  const client = world.connected({ keepAlive: 0 });
  world.advance(30 * 86_400_000);
  expect(client.isOpen).toBe(true);
});

test("enforces the longest keep alive", () => {
  const world = new TestBroker();
  const client = world.connected({ keepAlive: 65_535 });
  world.advance(65_535 * 1500 - 1);
  expect(client.isOpen).toBe(true);
  world.advance(1);
  expect(client.isOpen).toBe(false);
});

test("keepAliveFactor multiplies the keep alive", () => {
  const world = new TestBroker({ limits: { keepAliveFactor: 3 } });
  const client = world.connected({ keepAlive: 10 });
  world.advance(29_999);
  expect(client.isOpen).toBe(true);
  world.advance(1);
  expect(client.isOpen).toBe(false);
});

test("sending to a client does not keep it alive", () => {
  const world = new TestBroker();
  const client = world.connected({ clientId: "s", keepAlive: 10 }).subscribes(1, ["a", 0]);
  const publisher = world.connected("p");
  for (let n = 0; n < 14; n++) {
    world.advance(1000);
    publisher.publishes("a", "x");
  }
  expect(client.isOpen).toBe(true);
  world.advance(1000);
  expect(client.isOpen).toBe(false);
});

test("closes a transport that sends no CONNECT within connectMillisMax", () => {
  const world = new TestBroker({ limits: { connectMillisMax: 5000 } });
  const silent = world.open();
  const partial = world.open().send(connect().subarray(0, 5));
  const fine = world.connected();
  world.advance(4999);
  expect([silent.isOpen, partial.isOpen]).toEqual([true, true]);
  world.advance(1);
  expect([silent.isOpen, partial.isOpen, fine.isOpen]).toEqual([false, false, true]);
  expect(world.count("closedConnectTimeout")).toBe(2);
});

test("a pending decision suspends the client's deadlines", () => {
  const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
  const client = world.open().connects({ keepAlive: 1 });
  world.advance(60_000);
  expect(client.isOpen).toBe(true);
  world.decide(client, { kind: "allow" });
  expect(client.takes()).toEqual(["CONNACK present=0 code=0"]);
  world.advance(1500);
  expect(client.isOpen).toBe(false);
});

test("closes a reader that takes no bytes for stallMillisMax", () => {
  const world = new TestBroker({ limits: { stallMillisMax: 3000 } });
  const client = world.connected();
  client.writable(false);
  world.advance(2999);
  client.writable(true);
  client.writable(false);
  world.advance(2999);
  expect(client.isOpen).toBe(true);
  world.advance(1);
  expect(client.isOpen).toBe(false);
  expect(world.count("closedStalled")).toBe(1);
});

test("closes a stalled client before its much longer keep alive expires", () => {
  const world = new TestBroker({ limits: { stallMillisMax: 3000 } });
  const client = world.connected({ keepAlive: 60_000 });
  client.writable(false);
  world.advance(3000);
  expect(client.isOpen).toBe(false);
});

test("keeps each of tens of thousands of deadlines", () => {
  const world = new TestBroker();
  world.drains = false;
  for (let n = 0; n < 2000; n++) {
    world.open().connects({ clientId: `c${n}`, keepAlive: 1 + (n % 200) });
  }
  world.drain();
  for (let second = 1; second <= 300; second++) {
    world.advance(1000);
    const left = 10 * (200 - Math.min(200, Math.floor(second / 1.5)));
    expect(world.count("clientsConnected")).toBe(left);
  }
});
