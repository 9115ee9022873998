// The suite for stores: a correct store passes it, and it finds each fault of a wrong one.
import { describe, expect, test } from "vitest";
import { memoryStore } from "../../adapters/storage/memory.ts";
import { storeSuite } from "../../adapters/storage/testing/mod.ts";
import { type Fault, simulatedStore } from "./simulated-store.ts";

describe("a correct store passes:", () => {
  for (const { name, run } of storeSuite(simulatedStore(null))) test(name, run);
});

describe("the memory store passes:", () => {
  const memory = {
    isDurable: false,
    create: () => null,
    open: () => Promise.resolve(memoryStore()),
  };
  for (const { name, run } of storeSuite(memory)) test(name, run);
});

/** The test that finds each fault, and what it says. */
const faults: Readonly<Record<Fault, readonly [test: RegExp, message: RegExp]>> = {
  "loses removals": [/forgets removed keys/, /is there, and should not be/],
  "resolves early": [/after a crash whose commit/, /is missing/],
  "stores half of a batch first": [
    /a crash during its commit/,
    /the store has part of a batch: without the batch, .*; with it, /,
  ],
  "keeps half of a rejected batch": [
    /whole or not at all after its commit was rejected/,
    /the store has part of a batch/,
  ],
  "resolves though the disk is full": [
    /rejects a commit for which there is no room/,
    /a commit resolved though there was no room for it/,
  ],
  "keeps views of the batch": [
    /has all committed records/,
    /has another value, from its byte 0 on/,
  ],
  "cuts long keys": [
    /tells long keys apart/,
    /1 with the key 6b6b.*… \(1900 bytes\) has \d+ bytes/,
  ],
  "takes long values for damaged": [/values of many MiB/, /is missing/],
  "forgets empty values": [/takes empty values/, /of table 5 with the key 656d707479 is missing/],
  "confuses the tables": [/tells the tables apart/, /of table 0 with the key 6b is missing/],
  "gives a record twice": [/gives each once/, /load gave the record of table 3 with .* twice/],
  "keeps the first value of a key": [/keeps the last value/, /has 5 bytes instead of 3/],
  "reads keys as text": [/keys of any bytes/, /is missing/],
  "is empty when opened again": [/has all committed records/, /is missing/],
  "calls itself volatile": [/a new store is durable/, /`isDurable` is not true/],
  "reads messages in another order": [
    /reads messages by number/,
    /read: .* has \d+ bytes instead of/,
  ],
  "leaves out messages that are missing": [/reads messages by number/, /read gave 3 values for 5/],
};

test.each(Object.entries(faults))(
  "the suite finds a store that %s",
  async (fault, [name, message]) => {
    const tests = storeSuite(simulatedStore(fault as Fault)).filter((one) => name.test(one.name));
    expect(tests).toHaveLength(1);
    await expect(tests[0]!.run()).rejects.toThrow(message);
  },
);

test("the suite finds a store that is durable without saying so", async () => {
  for (const { run } of storeSuite({ ...simulatedStore(null), isDurable: false })) {
    await expect(run()).rejects.toThrow("`isDurable` is not false");
  }
});

test("without the functions for crashes and full disks, their tests are left out", () => {
  const { crash, setFull, ...fixture } = simulatedStore(null);
  const names = storeSuite(fixture).map(({ name }) => name);
  const all = storeSuite(simulatedStore(null)).map(({ name }) => name);
  expect(all.filter((name) => !names.includes(name))).toEqual([
    "has everything after a crash whose commit had resolved",
    "has a batch as a whole or not at all after a crash during its commit",
    "rejects a commit for which there is no room, keeps what it has, and takes the same batch later",
    "has a batch as a whole or not at all after its commit was rejected",
  ]);
});

test("the place of a store is removed at the end of each test, also if the store does not pass", async () => {
  let places = 0;
  const fixture = simulatedStore("calls itself volatile");
  const tests = storeSuite({
    ...fixture,
    create: () => {
      places++;
      return fixture.create();
    },
    remove: () => void places--,
  });
  for (const { run } of tests) await expect(run()).rejects.toThrow("isDurable");
  expect(places).toBe(0);
});
