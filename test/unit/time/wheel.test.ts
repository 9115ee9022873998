import { expect, test } from "vitest";
import type { Millis } from "../../../core/boundary.ts";
import { NEVER } from "../../../core/boundary.ts";
import { TimingWheel } from "../../../core/time/wheel.ts";
import { Random } from "../../support/random.ts";

const at = (time: number): Millis => time as Millis;

test("agrees with a sorted list after random sets, moves and cancellations", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Random(seed);
    const wheel = new TimingWheel();
    const model = new Map<number, number>();
    let now = 0;
    for (let step = 0; step < 2000; step++) {
      const timer = random.below(50);
      const choice = random.below(10);
      if (choice < 5) {
        const range = random.pick([1, 20, 1000, 70_000, 500_000, 86_400_000]);
        const deadline = Math.max(0, now - 5 + random.below(range));
        wheel.set(timer, at(deadline));
        model.set(timer, deadline);
      } else if (choice < 6) {
        wheel.cancel(timer);
        model.delete(timer);
      } else {
        const earliest = Math.min(...model.values());
        const next = wheel.next();
        expect(next).toBeLessThanOrEqual(earliest);
        now =
          random.chance(2) && next !== NEVER ? Math.max(now, next) : now + random.below(100_000);
        for (let due = wheel.poll(at(now)); due >= 0; due = wheel.poll(at(now))) {
          expect(model.get(due)).toBeLessThanOrEqual(now);
          model.delete(due);
        }
        for (const deadline of model.values()) expect(deadline).toBeGreaterThan(now);
        expect(wheel.next()).toBeGreaterThan(now);
      }
      expect(wheel.isSet(timer)).toBe(model.has(timer));
      if (model.has(timer)) expect(wheel.deadline(timer)).toBe(model.get(timer));
    }
  }
});

test("an empty wheel is never due", () => {
  const wheel = new TimingWheel();
  expect(wheel.next()).toBe(NEVER);
  expect(wheel.poll(at(1e12))).toBe(-1);
  wheel.set(3, NEVER);
  expect(wheel.isSet(3)).toBe(false);
});

test("waiting until the next deadline always reaches that deadline, even a month ahead", () => {
  const wheel = new TimingWheel();
  const deadline = 30 * 86_400_000 + 0.5;
  wheel.set(0, at(deadline));
  let now = at(0);
  let steps = 0;
  while (wheel.poll(now) < 0) {
    expect(wheel.next()).toBeGreaterThan(now);
    now = wheel.next();
    steps++;
  }
  expect(now).toBe(deadline);
  expect(steps).toBeLessThan(100_000);
});
