/** Not part of `npm test`: test/peers.test.ts runs this file with a PATH without peers. */
import { beforeAll, describe, expect, test } from "vitest";
import { needs } from "./needs.ts";

test("needs no peer", () => expect(1 + 1).toBe(2));

describe("a group", needs("mosquitto"), () => {
  beforeAll(() => {
    throw new Error("a group that is skipped runs its hooks");
  });
  test.each(["first", "second"])("the %s test of the group", () => {
    throw new Error("a test of a group that is skipped runs");
  });
});

test("needs another peer", needs("stdbuf", "Chromium"), () => {
  throw new Error("a test that is skipped runs");
});
