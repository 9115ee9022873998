/** Not among the tests: test/peers.test.ts runs it where the peers are missing. */
import { beforeAll, describe, expect, test } from "vitest";
import { needs } from "./needs.ts";

test("needs nothing", () => expect(1 + 1).toBe(2));

describe("a group", needs("mosquitto"), () => {
  beforeAll(() => {
    throw new Error("a group that is skipped runs its hooks");
  });
  test.each(["first", "second"])("the %s of it", () => {
    throw new Error("a test of a group that is skipped runs");
  });
});

test("needs another", needs("stdbuf", "Chromium"), () => {
  throw new Error("a test that is skipped runs");
});
