// Every TopicIndex against an obviously right model, in random order of adds, removes and matches.
import { describe, expect, test } from "vitest";
import { encodeUtf8 } from "../../core/codec/utf8.ts";
import { parseLimits } from "../../core/config.ts";
import { Added } from "../../core/ports.ts";
import { matchesFilter } from "../../core/topic/filter.ts";
import { codecs } from "../support/codecs.ts";
import { Random } from "../support/random.ts";

const limits = parseLimits({ topicTableBytesMax: 65_536 });
const cases = Number(process.env["DIFF_CASES"] ?? 20_000);
const from = Number(process.env["DIFF_FROM"] ?? 1);

/** Levels with common prefixes, so that the tails of the tree are created, split and similar. */
const levels = ["a", "b", "ab", "", "$s", "long-level-of-a-name", "ä"];

function text(random: Random, isFilter: boolean): string {
  const count = 1 + random.below(random.chance(20) ? 12 : 5);
  const parts = Array.from({ length: count }, () =>
    isFilter && random.chance(6) ? "+" : random.pick(levels),
  );
  if (isFilter && random.chance(6)) parts.push("#");
  return parts.join("/") || "/";
}

/** A model that follows the matching rule in the simplest way. */
class Model {
  readonly #filters = new Map<string, Map<number, number>>();
  size = 0;

  add(filter: string, subscriber: number, options: number): Added {
    const subscribers = this.#filters.get(filter) ?? new Map<number, number>();
    this.#filters.set(filter, subscribers);
    const added = subscribers.has(subscriber) ? Added.Replaced : Added.New;
    subscribers.set(subscriber, options);
    if (added === Added.New) this.size++;
    return added;
  }

  remove(filter: string, subscriber: number): boolean {
    const subscribers = this.#filters.get(filter);
    if (subscribers?.delete(subscriber) !== true) return false;
    if (subscribers.size === 0) this.#filters.delete(filter);
    this.size--;
    return true;
  }

  match(name: string): number[] {
    const rows: number[] = [];
    for (const [filter, subscribers] of this.#filters) {
      if (!matchesFilter(filter, name)) continue;
      for (const [subscriber, options] of subscribers) rows.push(subscriber * 4 + options);
    }
    return rows.sort((a, b) => a - b);
  }
}

describe.each(codecs)("%s", (_name, make) => {
  test(`${cases} random steps from seed ${from} agree with the matching rule`, () => {
    const random = new Random(from);
    const out = new Uint32Array(4096);
    for (let done = 0; done < cases; ) {
      const codec = make(limits);
      const index = codec.topics.create(limits);
      const model = new Model();
      // Few filters at a time, because the model is slow.
      const sizeMax = 20 + random.below(200);
      for (let step = 0; step < 5000 && done < cases; step++, done++) {
        const filter = text(random, true);
        const subscriber = 1 + random.below(3);
        const choice = random.below(10);
        if (choice < (model.size > sizeMax ? 2 : 5)) {
          const options = random.below(3);
          const added = index.add(encodeUtf8(filter), subscriber, options);
          expect([filter, added]).toEqual([filter, model.add(filter, subscriber, options)]);
        } else if (choice < 7) {
          const removed = index.remove(encodeUtf8(filter), subscriber);
          expect([filter, removed]).toEqual([filter, model.remove(filter, subscriber)]);
        } else {
          const name = text(random, false);
          const bytes = encodeUtf8(name);
          const count = index.match(codec.ingest.intern(bytes, 0, bytes.length), out);
          const rows: number[] = [];
          for (let i = 0; i < count * 2; i += 2) rows.push(out[i]! * 4 + out[i + 1]!);
          expect([name, rows.sort((a, b) => a - b)]).toEqual([name, model.match(name)]);
        }
        expect(index.size).toBe(model.size);
      }
    }
  }, 3_600_000);
});
