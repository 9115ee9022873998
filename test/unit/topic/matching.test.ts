import { describe, expect, test } from "vitest";
import { encodeUtf8 } from "../../../core/codec/utf8.ts";
import { isTopicFilter, matchesFilter } from "../../../core/topic/filter.ts";
import { isTopicName } from "../../../core/topic/name.ts";
import { NameTree, UNFINISHED } from "../../../core/topic/name-tree.ts";
import { Random } from "../../support/random.ts";
import { randomText } from "../../support/topics.ts";
import { topicVectors } from "../../vectors/topics.ts";

describe("a filter matches a name", () => {
  test.each(topicVectors)("%j × %j: %j", (filter, name, matches) => {
    expect(matchesFilter(filter, name)).toBe(matches);
    const tree = new NameTree();
    tree.set(name, 5);
    expect(tree.cursor(filter).next({ stepsLeft: 1000 })).toBe(matches ? 5 : -1);
  });
});

test("a filter is valid if each wildcard is a level of its own and # is last", () => {
  const isFilter = (text: string): boolean => {
    const bytes = encodeUtf8(text);
    return isTopicFilter(bytes, 0, bytes.length, 65_535, 200);
  };
  for (const good of ["a", "/", "#", "+", "+/+", "a/#", "/#", "+/#", "a/+/b", "+//#", "$SYS/#"]) {
    expect([good, isFilter(good)]).toEqual([good, true]);
  }
  for (const bad of [
    "",
    "a#",
    "#a",
    "#/",
    "#/a",
    "a/#/b",
    "a+",
    "+a",
    "a/+b",
    "a/b+/c",
    "++",
    "a\0",
  ]) {
    expect([bad, isFilter(bad)]).toEqual([bad, false]);
  }
  expect(isTopicFilter(encodeUtf8("a/b"), 0, 3, 3, 2)).toBe(true);
  expect(isTopicFilter(encodeUtf8("a/b"), 0, 3, 2, 2)).toBe(false);
  expect(isTopicFilter(encodeUtf8("a/b"), 0, 3, 3, 1)).toBe(false);
});

test("a name is valid if it has no wildcard and no U+0000", () => {
  const isName = (text: string): boolean => {
    const bytes = encodeUtf8(text);
    return isTopicName(bytes, 0, bytes.length, 65_535, 200);
  };
  for (const good of ["a", "/", "//", " ", "$SYS", "ä/ö", "𝄞"]) expect(isName(good)).toBe(true);
  for (const bad of ["", "+", "#", "a/+", "a#", "\0", "a\0b"]) expect(isName(bad)).toBe(false);
});

test("filters find the names in a tree by the matching rule, also while the tree changes", () => {
  const random = new Random(7);
  for (let round = 0; round < 300; round++) {
    const tree = new NameTree();
    const model = new Map<string, number>();
    for (let n = 0; n < 40; n++) {
      const name = randomText(random, false);
      expect(tree.set(name, n)).toBe(model.get(name) ?? -1);
      model.set(name, n);
    }
    const filter = randomText(random, true);
    const mustFind = new Set<number>();
    for (const [name, value] of model) if (matchesFilter(filter, name)) mustFind.add(value);
    const cursor = tree.cursor(filter);
    const next = (): number => {
      // A walk may stop at its bound and continue with another call.
      for (;;) {
        const value = cursor.next({ stepsLeft: random.pick([0, 1, 1000]) });
        if (value !== UNFINISHED) return value;
      }
    };
    const mayFind = new Set(mustFind);
    for (let value = next(), n = 100; value >= 0; value = next(), n++) {
      expect(mayFind.delete(value)).toBe(true); // once, and only what matches
      mustFind.delete(value);
      const name = random.pick([...model.keys(), "a"]);
      if (random.chance(2)) {
        const gone = tree.delete(name);
        expect(gone).toBe(model.get(name) ?? -1);
        model.delete(name);
        mustFind.delete(gone);
        mayFind.delete(gone);
      } else if (!model.has(name)) {
        tree.set(name, n);
        model.set(name, n);
        if (matchesFilter(filter, name)) mayFind.add(n);
      }
    }
    expect([...mustFind]).toEqual([]);
    expect(tree.size).toBe(model.size);
  }
});
