import { describe, expect, test } from "vitest";
import type { Codec } from "../../../codec-wasm/mod.ts";
import { encodeUtf8 } from "../../../core/codec/utf8.ts";
import { parseLimits } from "../../../core/config.ts";
import type { Ingest, TopicIndex } from "../../../core/ports.ts";
import { Added } from "../../../core/ports.ts";
import { matchesFilter } from "../../../core/topic/filter.ts";
import { codecs } from "../../support/codecs.ts";
import { Random } from "../../support/random.ts";
import { randomText } from "../../support/topics.ts";
import { topicVectors } from "../../vectors/topics.ts";

const limits = parseLimits();

/** A topic index, and topics by their names. */
class Tested {
  readonly ingest: Ingest;
  readonly index: TopicIndex;
  #out = new Uint32Array(2);

  constructor(codec: Codec) {
    this.ingest = codec.ingest;
    this.index = codec.topics.create(limits);
  }

  match(name: string): Map<number, number[]> {
    const bytes = encodeUtf8(name);
    const id = this.ingest.intern(bytes, 0, bytes.length);
    let rows = this.index.match(id, this.#out);
    if (rows * 2 > this.#out.length) {
      this.#out = new Uint32Array(rows * 2);
      rows = this.index.match(id, this.#out);
    }
    const found = new Map<number, number[]>();
    for (let i = 0; i < rows; i++) {
      const subscriber = this.#out[i * 2]!;
      found.set(subscriber, [...(found.get(subscriber) ?? []), this.#out[i * 2 + 1]!].sort());
    }
    return found;
  }
}

interface Step {
  readonly action: "add" | "remove" | "nothing";
  readonly filter: string;
  readonly subscriber: number;
  readonly options: number;
  /** The result of `add` or `remove`, and the count of subscriptions after it. */
  readonly outcome: Added | boolean | null;
  readonly size: number;
  readonly match: { readonly name: string; readonly expected: Map<number, number[]> } | null;
}

/** Random steps with their results by the matching rule. Computed once for all codecs, because that takes seconds. */
const randomSteps: readonly Step[] = (() => {
  const random = new Random(42);
  const model = new Map<string, [filter: string, subscriber: number, options: number]>();
  return Array.from({ length: 20_000 }, (): Step => {
    const filter = randomText(random, true);
    const subscriber = 1 + random.below(5);
    const key = `${subscriber} ${filter}`;
    const choice = random.below(4);
    const action = choice < 2 ? "add" : choice === 2 ? "remove" : "nothing";
    const options = action === "add" ? random.below(3) : 0;
    let outcome: Step["outcome"] = null;
    if (action === "add") {
      outcome = model.has(key) ? Added.Replaced : Added.New;
      model.set(key, [filter, subscriber, options]);
    } else if (action === "remove") outcome = model.delete(key);
    const match = random.chance(4) ? expectedMatch(randomText(random, false)) : null;
    return { action, filter, subscriber, options, outcome, size: model.size, match };
  });

  function expectedMatch(name: string): Step["match"] {
    const expected = new Map<number, number[]>();
    for (const [f, s, o] of model.values()) {
      if (matchesFilter(f, name)) expected.set(s, [...(expected.get(s) ?? []), o].sort());
    }
    return { name, expected };
  }
})();

describe.each(codecs)("%s", (_name, make) => {
  test("matches every vector by the matching rule", () => {
    for (const [filter, name, matches] of topicVectors) {
      const tested = new Tested(make(limits));
      tested.index.add(encodeUtf8(filter), 7, 2);
      expect([filter, name, tested.match(name)]).toEqual([
        filter,
        name,
        new Map(matches ? [[7, [2]]] : []),
      ]);
    }
  });

  test("random additions, removals and matches agree with the matching rule", () => {
    const tested = new Tested(make(limits));
    for (const { action, filter, subscriber, options, outcome, size, match } of randomSteps) {
      const bytes = encodeUtf8(filter);
      if (action === "add") expect(tested.index.add(bytes, subscriber, options)).toBe(outcome);
      if (action === "remove") expect(tested.index.remove(bytes, subscriber)).toBe(outcome);
      expect(tested.index.size).toBe(size);
      if (match !== null) expect(tested.match(match.name)).toEqual(match.expected);
    }
  });

  test("handles very many subscribers of one filter, added and removed", () => {
    const tested = new Tested(make(limits));
    const filter = encodeUtf8("a/+/c");
    for (let n = 1; n <= 50_000; n++) tested.index.add(filter, n, n % 3);
    expect(tested.match("a/b/c").size).toBe(50_000);
    for (let n = 1; n <= 50_000; n += 2) expect(tested.index.remove(filter, n)).toBe(true);
    expect(tested.match("a/b/c").size).toBe(25_000);
  });

  test("matches the deepest filter and name", () => {
    const tested = new Tested(make(limits));
    const deep = Array.from({ length: 100 }, () => "l").join("/");
    tested.index.add(encodeUtf8(`${deep}/#`), 1, 0);
    tested.index.add(encodeUtf8(deep.replaceAll("l", "+")), 2, 0);
    tested.index.add(encodeUtf8(deep), 3, 0);
    expect([...tested.match(deep).keys()].sort()).toEqual([1, 2, 3]);
  });
});
