import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonFault } from "../../adapters/cli/json-fault.ts";

describe("the place of the first fault in a JSON text", () => {
  test.each([
    ["", 1, 1],
    ["{port: 1}", 1, 2],
    ['{"port": tru\n}', 1, 13],
    ['{\n  "port": 1,\n}', 3, 1],
    ['{\r\n  "a": 1\r\n  "b": 2\r\n}', 3, 3],
    ['{"password": "se\ncret"}', 1, 17],
    ['{"password": "secret}', 1, 22],
    ['{"p": "\\x41"}', 1, 9],
    ['{"p": "\\u00g1"}', 1, 12],
    ['{"p": 01}', 1, 8],
    ['{"p": 1.}', 1, 9],
    ['{"p": -}', 1, 8],
    ['{"p": 1e+}', 1, 10],
    ["[1, 2", 1, 6],
    ["[1 2]", 1, 4],
    ['{"a": 1} x', 1, 10],
    ['{"a" 1}', 1, 6],
    ['{"👍": 1,, }', 1, 9],
    ["{'a': 1}", 1, 2],
    ["// comment\n{}", 1, 1],
    ["\ufeff{}", 1, 1],
  ])("%j: line %i, column %i", (text, line, column) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(jsonFault(text)).toEqual({ line, column });
  });

  test("exists exactly if JSON.parse does not accept the text", () => {
    const valid = fc
      .tuple(fc.jsonValue(), fc.constantFrom(0, 1, 2))
      .map(([value, indent]) => JSON.stringify(value, null, indent));
    const damaged = fc
      .tuple(valid, fc.nat(), fc.nat(2), fc.constantFrom(...'{}[],:"\\u0e1-+. \ntfn', "\u0001"))
      .map(([text, at, removed, added]) => {
        const place = at % (text.length + 1);
        return text.slice(0, place) + added + text.slice(place + removed);
      });
    fc.assert(
      fc.property(fc.oneof(valid, damaged), (text) => {
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect(jsonFault(text) === null).toBe(isJson);
      }),
      { numRuns: 3000 },
    );
  });

  test("is found in brackets nested to any depth", () => {
    expect(jsonFault("[".repeat(1_000_000))).toEqual({ line: 1, column: 1_000_001 });
    expect(jsonFault("[".repeat(1_000_000) + "]".repeat(1_000_000))).toBe(null);
  });
});
