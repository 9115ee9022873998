/** Host clocks that go back, leap or return NaN. */
import { describe, expect, test } from "vitest";
import type { Millis } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { pingreq } from "../../support/packets.ts";

describe("a host clock that goes back", () => {
  const at = (millis: number) => millis as Millis;

  test("counts a step back, and continues from the time before it", () => {
    const world = new TestBroker();
    world.advance(100_000);
    const client = world.connected({ clientId: "c", keepAlive: 60 });
    const due = world.broker.pollTimeout();
    world.now = at(5);
    client.send(pingreq);
    expect(client.takes()).toEqual(["PINGRESP"]);
    expect(world.count("clockHeld")).toBe(1);
    // In host time, the deadline is as far away as before.
    expect(world.broker.pollTimeout() - 5).toBe(due - 100_000);
    world.advance(89_000);
    expect(client.isOpen).toBe(true);
    world.advance(2000);
    expect(client.isOpen).toBe(false);
    expect(world.count("clockHeld")).toBe(1);
  });

  test("and then returns to the right time makes no deadline early", () => {
    const world = new TestBroker();
    world.advance(1_000_000);
    const client = world.connected({ clientId: "c", keepAlive: 60 });
    world.now = at(0);
    world.drain();
    world.now = at(20);
    world.drain();
    world.now = at(1_010_000);
    world.broker.handleTimeout(world.now);
    world.advance(79_000);
    expect(client.isOpen).toBe(true);
    world.advance(2000);
    expect(client.isOpen).toBe(false);
  });

  test("in small steps, or leaps ahead and back, loses at most one step of time", () => {
    const world = new TestBroker();
    for (const now of [50_000, 20_000, 90_000, 30_000, 85_000, 95_000]) {
      world.now = at(now);
      world.drain();
    }
    const client = world.connected({ clientId: "c", keepAlive: 60 });
    for (let n = 0; n < 88; n++) world.advance(1000);
    expect(client.isOpen).toBe(true);
    for (let n = 0; n < 4; n++) world.advance(1000);
    expect(client.isOpen).toBe(false);
    expect(world.count("clockHeld")).toBe(2);
  });

  test("throws if the host clock returns NaN", () => {
    const world = new TestBroker({ record: null });
    expect(() => world.broker.handleTimeout(at(Number.NaN))).toThrow("clock returns a number");
  });
});

test("setting the wall clock forward or back moves no deadline", () => {
  const world = new TestBroker({ durable: "at once" });
  const client = world.connected({ clientId: "c", keepAlive: 60, clean: false });
  for (const epochMillis of [4_000_000_000_000, 0, 1_700_000_000_000]) {
    world.broker.handleClock(epochMillis, world.now);
    world.drain();
  }
  world.advance(89_000);
  expect(client.isOpen).toBe(true);
  world.advance(2000);
  expect(client.isOpen).toBe(false);
  expect(world.count("sessions")).toBe(1);
});
