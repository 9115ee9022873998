import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { needs } from "../support/needs.ts";
import { repositoryFiles, root } from "../support/repository.ts";
import { cases } from "./cases.ts";
import { citedIn, statementIds, statements } from "./statements.ts";

const testFiles = repositoryFiles("test").filter((path) => path.endsWith(".test.ts"));
/** Names of tests: strings, in the files of tests, that begin with a citation. */
const names = [
  ...cases.map(({ name }) => name),
  ...testFiles.flatMap((path) =>
    Array.from(
      readFileSync(`${root}/${path}`, "utf8").matchAll(/["`](\[MQTT[^"`]*)["`]/g),
      (m) => m[1]!,
    ),
  ),
];
const cited = new Set(names.flatMap(citedIn));

test(
  "every statement that binds the server has a test, or a reason why it has none",
  needs("a git clone"),
  () => {
    const missing = statements.filter(({ id, unseen }) => unseen === null && !cited.has(id));
    expect(missing.map(({ id }) => id)).toEqual([]);
  },
);

test("no test names a statement that does not exist", () => {
  expect([...cited].filter((id) => !statementIds.has(id))).toEqual([]);
});

test("no two cases of a version have the same name", () => {
  const all = cases.map(({ name, version }) => `${version} ${name}`);
  expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([]);
});
