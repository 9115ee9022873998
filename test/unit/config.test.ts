import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { createLocalBroker } from "../../adapters/local/mod.ts";
import { ConfigError, limitNames, limitTable, parseLimits } from "../../core/mod.ts";

test("every limit has a default within its range, a unit and a sentence", () => {
  for (const name of limitNames) {
    const spec = limitTable[name];
    expect(spec.default).toBeGreaterThanOrEqual(spec.min);
    expect(spec.default).toBeLessThanOrEqual(spec.max);
    expect(spec.help.length).toBeGreaterThan(10);
    expect(parseLimits()[name]).toBe(spec.default);
    expect(parseLimits({ [name]: spec.min })[name]).toBe(spec.min);
    expect(parseLimits({ [name]: spec.max })[name]).toBe(spec.max);
  }
});

test("docs/limits.md has every limit that is not a switch, in the order of the table, with its default", () => {
  const text = readFileSync(new URL("../../docs/limits.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` \| ([\d.]+) \|/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ]);
  const limits = limitNames.filter((name) => limitTable[name].unit !== "switch");
  expect(rows).toEqual(limits.map((name) => [name, limitTable[name].default]));
});

describe("an error about a limit names it, its value and the allowed range", () => {
  test.each([
    [
      { inflightMax: 0 },
      "inflightMax: 0 is not allowed; allowed is a whole number from 1 to 65535",
    ],
    [{ inflightMax: 65_536 }, "inflightMax: 65536"],
    [{ inflightMax: 1.5 }, "inflightMax: 1.5"],
    [{ inflightMax: "20" }, 'inflightMax: "20"'],
    [{ inflightMax: Number.NaN }, "inflightMax: NaN"],
    [{ inflightMax: null }, "inflightMax: null"],
    [{ packetBytesMax: 268_435_461 }, "from 128 to 268435460 (bytes)"],
    [{ keepAliveFactor: 0.5 }, "keepAliveFactor: 0.5 is not allowed; allowed is a number from 1"],
    [{ nothing: 1 }, "nothing: unknown name; allowed are packetBytesMax"],
    [{ nothing: undefined }, "nothing: unknown name; allowed are packetBytesMax"],
    [{ packetByteMax: 1 }, "packetByteMax: unknown name; did you mean packetBytesMax?"],
    [{ maxPacketBytes: 1 }, "maxPacketBytes: unknown name; did you mean packetBytesMax?"],
  ])("%j", (given, message) => {
    expect(() => parseLimits(given)).toThrow(message);
    expect(() => parseLimits(given)).toThrow(ConfigError);
  });
});

test("an error about a field that may contain a password never shows its value", () => {
  const wrong = [
    () => createLocalBroker({ users: "hush" as never }),
    () => createLocalBroker({ authenticate: "hush" as never }),
    () => createLocalBroker({ passwrd: "hush" } as never),
    () => {
      throw new ConfigError("will.password", "hush", "a text");
    },
  ];
  for (const make of wrong) {
    let error: unknown;
    try {
      make();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigError);
    expect(inspect(error).replaceAll(/^ +at .*$/gm, "")).not.toContain("hush");
    expect(JSON.stringify(error)).not.toContain("hush");
  }
  expect(new ConfigError("password", null, "a text").message).toMatch(/^password: null is not/);
});
