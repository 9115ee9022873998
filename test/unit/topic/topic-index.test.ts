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

describe.each(codecs)("%s", (_name, make) => {
  test("every vector is matched as the rule says", () => {
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

  test("random adds, removes and matches agree with the rule itself", () => {
    const random = new Random(42);
    const tested = new Tested(make(limits));
    const model = new Map<string, [filter: string, subscriber: number, options: number]>();
    for (let step = 0; step < 20_000; step++) {
      const filter = randomText(random, true);
      const subscriber = 1 + random.below(5);
      const key = `${subscriber} ${filter}`;
      const choice = random.below(4);
      if (choice < 2) {
        const options = random.below(3);
        expect(tested.index.add(encodeUtf8(filter), subscriber, options)).toBe(
          model.has(key) ? Added.Replaced : Added.New,
        );
        model.set(key, [filter, subscriber, options]);
      } else if (choice === 2) {
        expect(tested.index.remove(encodeUtf8(filter), subscriber)).toBe(model.delete(key));
      }
      expect(tested.index.size).toBe(model.size);
      if (!random.chance(4)) continue;
      const name = randomText(random, false);
      const expected = new Map<number, number[]>();
      for (const [f, s, o] of model.values()) {
        if (matchesFilter(f, name)) expected.set(s, [...(expected.get(s) ?? []), o].sort());
      }
      expect(tested.match(name)).toEqual(expected);
    }
  });

  test("very many subscribers of one filter come and go", () => {
    const tested = new Tested(make(limits));
    const filter = encodeUtf8("a/+/c");
    for (let n = 1; n <= 50_000; n++) tested.index.add(filter, n, n % 3);
    expect(tested.match("a/b/c").size).toBe(50_000);
    for (let n = 1; n <= 50_000; n += 2) expect(tested.index.remove(filter, n)).toBe(true);
    expect(tested.match("a/b/c").size).toBe(25_000);
  });

  test("the deepest filter and name are matched", () => {
    const tested = new Tested(make(limits));
    const deep = Array.from({ length: 100 }, () => "l").join("/");
    tested.index.add(encodeUtf8(`${deep}/#`), 1, 0);
    tested.index.add(encodeUtf8(deep.replaceAll("l", "+")), 2, 0);
    tested.index.add(encodeUtf8(deep), 3, 0);
    expect([...tested.match(deep).keys()].sort()).toEqual([1, 2, 3]);
  });
});
