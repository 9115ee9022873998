/** The shape of the repository: layers, names, citations, published files. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { statementIds } from "./conformance/statements.ts";
import { needs } from "./support/needs.ts";
import { repositoryFiles, root } from "./support/repository.ts";
import {
  checkCitations,
  checkCycles,
  checkImports,
  checkPurity,
  checkText,
  codeOnly,
  type SourceFile,
} from "./support/tidy.ts";

const read = (path: string): string => readFileSync(join(root, path), "utf8");
const paths = repositoryFiles();
const files: SourceFile[] = paths
  .filter((path) => /\.(ts|mjs|json|md)$/.test(path) && path !== "package-lock.json")
  .map((path) => ({ path, text: read(path) }));
const sources = files.filter(({ path }) => path.endsWith(".ts"));

describe("the repository", needs("a git clone"), () => {
  test("imports follow the layers", () => expect(sources.flatMap(checkImports)).toEqual([]));
  test("the core names no host API, clock or randomness", () =>
    expect(sources.flatMap(checkPurity)).toEqual([]));
  test("imports have no cycle", () => expect(checkCycles(sources)).toEqual([]));
  test("every file has a header, a kebab-case name and at most 450 lines", () =>
    expect(files.flatMap(checkText)).toEqual([]));
  test("every citation names a statement", () => {
    expect(sources.flatMap((file) => checkCitations(file, statementIds))).toEqual([]);
  });

  test("the top level has only the expected entries", () => {
    const allowed = new Set([
      ...["core", "codec-wasm", "adapters", "bench", "test", "docs", ".ci"],
      ...["package.json", "package-lock.json", "tsconfig.json", "README.md", "LICENSE"],
      ...["biome.json", "vitest.config.ts", ".gitignore", ".npmrc"],
    ]);
    const top = new Set(paths.map((path) => path.split("/")[0]!));
    expect([...top].filter((name) => !allowed.has(name))).toEqual([]);
  });

  test("the lock file contains no registry address", () => {
    expect(read("package-lock.json")).not.toMatch(/"resolved":\s*"http/);
  });

  test("the version is the same in every file that has it", () => {
    const { version } = JSON.parse(read("package.json")) as { version: string };
    expect(read("adapters/version.ts")).toContain(`version: string = "${version}"`);
  });

  test("every export of package.json is built from an existing file", () => {
    const { exports, bin } = JSON.parse(read("package.json")) as {
      exports: Record<string, Exported>;
      bin: Record<string, string>;
    };
    const built = [
      ...Object.values(bin),
      ...Object.entries(exports).flatMap(([name, entry]) =>
        name === "./package.json" ? [] : pathsOf(entry),
      ),
    ];
    for (const path of built) {
      const source = path.replace(/^(\.\/)?dist\//, "").replace(/(\.d)?\.[jt]s$/, ".ts");
      expect([path, existsSync(join(root, source))]).toEqual([path, true]);
    }
    for (const entry of Object.values(exports)) expectTypesFirst(entry);
  });

  test("the tests that CONTRIBUTING.md shows are real tests", () => {
    const shown = Array.from(read("docs/CONTRIBUTING.md").matchAll(/^```ts\n(.*?)^```$/gms));
    expect(shown).toHaveLength(3);
    const tests = paths
      .filter((path) => path.endsWith(".test.ts"))
      .map(read)
      .join("\n");
    for (const [, code] of shown) expect(tests).toContain(`\n${code}`);
  });

  test("every link in the documentation leads to an existing file", () => {
    const broken = files
      .filter(({ path }) => path.endsWith(".md"))
      .flatMap(({ path, text }) =>
        Array.from(text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g), (match) => match[1]!)
          .filter((link) => !/^[a-z]+:/.test(link))
          .filter((link) => !existsSync(join(root, dirname(path), link)))
          .map((link) => `${path} links to ${link}`),
      );
    expect(broken).toEqual([]);
  });
});

describe("the checks find", () => {
  const found = (path: string, text: string): string[] => {
    const file = { path, text };
    return [...checkImports(file), ...checkPurity(file), ...checkText(file)];
  };
  const header = "/** Why. */\n";
  const offending: Record<string, readonly [path: string, text: string, offence: RegExp]> = {
    "a host's module in core": ["core/a.ts", 'import { x } from "node:fs";', /only core/],
    "a package in core": ["core/base/a.ts", 'import x from "ws";', /only core/],
    "an adapter in core": [
      "core/base/a.ts",
      'import { x } from "../../adapters/a.ts";',
      /only core/,
    ],
    "an import of a layer to the right": [
      "core/codec/a.ts",
      'import { x } from "../session/session.ts";',
      /left to right/,
    ],
    "a type import of a layer to the right": [
      "core/codec/a.ts",
      'import type { X } from "../session/session.ts";',
      /left to right/,
    ],
    "a folder without a layer": ["core/new/a.ts", 'import { x } from "../base/b.ts";', /its place/],
    "a path without its ending": ["core/base/a.ts", 'import { x } from "./b";', /\.ts file/],
    "a clock in core": ["core/base/a.ts", "const t = Date.now();", /names Date/],
    "randomness in core": ["core/base/a.ts", "const t = Math.random();", /Math\.random/],
    "a promise in core": ["core/base/a.ts", "async function f() {}", /names async/],
    "a re-export": ["adapters/a.ts", 'export { x } from "./b.ts";', /only mod\.ts/],
    "an import that bypasses core/mod.ts": [
      "adapters/a.ts",
      'import { x } from "../core/broker.ts";',
      /mod\.ts/,
    ],
    "an import of another runtime": [
      "adapters/bun/a.ts",
      'import { x } from "../node/tcp.ts";',
      /one another/,
    ],
    "ws outside its adapter": [
      "adapters/node/tcp.ts",
      'import { WebSocket } from "ws";',
      /only .* names ws/,
    ],
    "a Node module in the driver": [
      "adapters/driver.ts",
      'import { x } from "node:net";',
      /Node's modules/,
    ],
    "an import of a test by published code": [
      "adapters/a.ts",
      'import { x } from "../test/a.ts";',
      /nothing that ships/,
    ],
    "a file that is too long": ["core/base/a.ts", header.repeat(451), /451 lines/],
    "a name in camel case": ["core/base/aB.ts", header, /kebab/],
    "a file without a header": ["core/base/a.ts", "export const a = 1;", /no header/],
    "a default export": ["core/base/a.ts", `${header}export default 1;`, /default export/],
    "a left-over marker": ["core/base/a.ts", `${header}// ${"TO"}${"DO"}: later`, /left-over/],
    "a skipped test": ["test/a.test.ts", `test.${"skip"}("x", f);`, /leaves tests out/],
  };
  test.each(Object.entries(offending))("%s", (_, [path, text, offence]) => {
    expect(found(path, text).join("\n")).toMatch(offence);
  });

  test("no offence in a correct file", () => {
    const text = `${header}import type { X } from "../base/b.ts";\n// Date is a word here.\nconst s = "await";\n`;
    expect(found("core/codec/a.ts", text)).toEqual([]);
    expect(codeOnly('a("//x") // Date')).not.toContain("Date");
  });

  test("a cycle", () => {
    const files = [
      { path: "core/a.ts", text: 'import { b } from "./b.ts";' },
      { path: "core/b.ts", text: 'import { a } from "./a.ts";' },
      { path: "core/c.ts", text: 'import type { a } from "./a.ts";' },
    ];
    expect(checkCycles(files)).toHaveLength(1);
    const types = [
      { path: "core/c.ts", text: 'import type { D } from "./d.ts";' },
      { path: "core/d.ts", text: 'import { c } from "./c.ts";' },
    ];
    expect(checkCycles(types)).toHaveLength(1);
  });

  test("a citation of an unknown statement", () => {
    const unknown = "MQTT-9.9.9-9";
    const file = { path: "core/a.ts", text: `// [${unknown}] [MQTT311-2.2.2-1] [MQTT-1.5.5-1]` };
    expect(checkCitations(file, statementIds)).toHaveLength(1);
  });
});

/** A path, or an entry for each condition. */
type Exported = string | { readonly [condition: string]: Exported };

function pathsOf(entry: Exported): string[] {
  return typeof entry === "string" ? [entry] : Object.values(entry).flatMap(pathsOf);
}

/** The first condition that fits is used, so `types` comes before `default`. */
function expectTypesFirst(entry: Exported): void {
  if (typeof entry === "string") return;
  const names = Object.keys(entry);
  if (names.includes("types"))
    expect(names.indexOf("types")).toBeLessThan(names.indexOf("default"));
  for (const inner of Object.values(entry)) expectTypesFirst(inner);
}
