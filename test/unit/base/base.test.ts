import { expect, test } from "vitest";
import { BlockPool } from "../../../core/base/blocks.ts";
import { BufferPool } from "../../../core/base/buffers.ts";
import { PacketIdSet } from "../../../core/base/packet-id-set.ts";
import { PairRing, Ring } from "../../../core/base/ring.ts";
import { Slots } from "../../../core/base/slots.ts";
import { PacketIdQueue } from "../../../core/session/packet-id-queue.ts";
import { Random } from "../../support/random.ts";

test("blocks never overlap, keep their bytes, and release their memory", () => {
  const random = new Random(11);
  const pool = new BlockPool(64 * 1024 * 1024);
  const live = new Map<number, { size: number; mark: number }>();
  for (let step = 0; step < 60_000; step++) {
    if (live.size > 0 && random.below(100) < (step < 40_000 ? 45 : 90)) {
      const handle = random.pick([...live.keys()].slice(0, 50));
      const { size, mark } = live.get(handle)!;
      const at = pool.offset(handle);
      const bytes = pool.bytes(handle).subarray(at, at + size);
      expect(bytes.every((byte) => byte === mark)).toBe(true);
      pool.free(handle);
      live.delete(handle);
    } else if (live.size < 3000) {
      const size = random.chance(50) ? 8000 + random.below(400) : 1 + random.below(300);
      const handle = pool.allocate(size);
      expect(handle).toBeGreaterThan(0);
      expect(live.has(handle)).toBe(false);
      const mark = random.below(256);
      pool.bytes(handle).fill(mark, pool.offset(handle), pool.offset(handle) + size);
      live.set(handle, { size, mark });
    }
  }
  for (const handle of live.keys()) pool.free(handle);
  // At most one page of each size class is kept.
  expect(pool.usedBytes).toBeLessThanOrEqual(17 * 65_536);
});

test("blocks stay within their bound, pages and long ones together", () => {
  const pool = new BlockPool(3 * 65_536);
  const small = Array.from({ length: 4096 }, () => pool.allocate(32));
  expect(small.every((handle) => handle > 0)).toBe(true);
  expect(pool.usedBytes).toBe(2 * 65_536);
  expect(pool.allocate(65_537)).toBe(0);
  const long = pool.allocate(65_536);
  expect(pool.bytes(long)).toHaveLength(65_536);
  expect(pool.allocate(32)).toBe(0);
  expect(pool.adopt(new Uint8Array(1))).toBe(0);
  pool.free(long);
  expect(pool.allocate(32)).toBeGreaterThan(0);
});

test("reuses a long block after it is freed, except a block that is kept", () => {
  const pool = new BlockPool(2 ** 24);
  const allocated = (): [number, Uint8Array] => {
    const handle = pool.allocate(20_000);
    return [handle, pool.bytes(handle)];
  };
  const [first, bytes] = allocated();
  pool.free(first);
  const [second, again] = allocated();
  expect(again).toBe(bytes);
  pool.keep(second, bytes);
  pool.free(second);
  const [third, other] = allocated();
  expect(other).not.toBe(bytes);
  pool.free(third);
  pool.keep(third, other);
  expect([bytes, other]).not.toContain(allocated()[1]);
});

test("a buffer pool keeps a bounded number of bytes, of the requested lengths", () => {
  const pool = new BufferPool((byteCount) => new Uint8Array(byteCount));
  const buffers = Array.from({ length: 600 }, () => pool.acquire(20_000));
  expect(buffers[0]!.length).toBe(20_480);
  for (const buffer of buffers) pool.release(buffer);
  const again = Array.from({ length: 600 }, () => pool.acquire(20_480));
  const kept = again.filter((buffer) => buffers.includes(buffer)).length;
  expect(kept).toBeGreaterThan(100);
  expect(kept * 20_480).toBeLessThanOrEqual(8 * 2 ** 20);
});

test("a set of packet identifiers agrees with a Set", () => {
  const random = new Random(5);
  const tested = new PacketIdSet();
  const model = new Set<number>();
  for (let step = 0; step < 50_000; step++) {
    const id = random.chance(2) ? 1 + random.below(40) : 1 + random.below(65_535);
    if (random.chance(2)) {
      expect(tested.add(id)).toBe(!model.has(id));
      model.add(id);
    } else {
      expect(tested.delete(id)).toBe(model.delete(id));
    }
    expect(tested.has(id)).toBe(model.has(id));
    expect(tested.size).toBe(model.size);
  }
  for (let id = 1; id <= 65_535; id++) expect(tested.has(id)).toBe(model.has(id));
});

test("rings are first in, first out, and take items at their front", () => {
  const random = new Random(9);
  const [ring, pairs] = [new Ring(), new PairRing()];
  const [one, two]: [number[], [number, number][]] = [[], []];
  for (let step = 0; step < 20_000; step++) {
    const value = random.below(2 ** 31);
    if (random.below(5) < 3) {
      ring.push(value);
      one.push(value);
      pairs.push(value, step);
      two.push([value, step]);
      if (random.chance(4)) {
        pairs.unshift(step, value);
        two.unshift([step, value]);
      }
    } else if (one.length > 0) {
      expect(ring.peek()).toBe(one[0]);
      expect(ring.shift()).toBe(one.shift());
      expect([pairs.first(), pairs.second()]).toEqual(two.shift());
      pairs.drop();
    }
    expect([ring.count, pairs.count]).toEqual([one.length, two.length]);
  }
});

test("each slot has one owner at a time, and no more slots than the maximum are in use", () => {
  const slots = new Slots(3);
  expect([slots.acquire(), slots.acquire(), slots.acquire(), slots.acquire()]).toEqual([
    1, 2, 3, 0,
  ]);
  slots.release(2);
  expect([slots.count, slots.acquire(), slots.acquire()]).toEqual([2, 2, 0]);
});

test("a queue of packet identifiers keeps its order after any removal", () => {
  const random = new Random(13);
  const queue = new PacketIdQueue();
  let model: number[] = [];
  for (let step = 1; step < 30_000; step++) {
    if (random.chance(2) && model.length < 100) {
      const via =
        step % 3 === 0
          ? { properties: Uint8Array.of(step & 0xff), group: 0, share: new Uint8Array(0) }
          : null;
      queue.push(step & 0xffff, step, 1, via);
      model.push(step);
    } else if (model.length > 0) {
      const position = random.chance(3) ? random.below(model.length) : 0;
      expect(queue.find(model[position]! & 0xffff)).toBe(position);
      const step = model[position]!;
      expect(queue.message(position)).toBe(step);
      expect(queue.origin(position)?.properties[0] ?? -1).toBe(step % 3 === 0 ? step & 0xff : -1);
      queue.removeAt(position);
      model = model.filter((_, index) => index !== position);
    }
    expect(queue.count).toBe(model.length);
    if (model.length > 0) expect(queue.packetId(model.length - 1)).toBe(model.at(-1)! & 0xffff);
  }
});

test("resends the unacknowledged messages, also if acknowledgements arrive during the resend", () => {
  const queue = new PacketIdQueue();
  for (let id = 1; id <= 6; id++) queue.push(id, id, 1, null);
  queue.startResend();
  const resent: number[] = [];
  const next = (): void => {
    resent.push(queue.packetId(queue.resendPosition));
    queue.confirmResent();
  };
  next(); // 1
  queue.removeAt(0); // 1, sent again
  queue.removeAt(queue.find(3));
  next(); // 2
  queue.push(7, 7, 1, null);
  next(); // 4
  queue.removeAt(queue.find(6));
  next(); // 5
  expect(queue.resendPosition).toBe(-1);
  expect(resent).toEqual([1, 2, 4, 5]);
});
