/** Checks of the repository's shape: pure functions from files to offences. */
export interface SourceFile {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** One sentence: the place, the offence, and the remedy. */
export type Offence = string;

/** Folders and files of core from left to right: each imports only from groups to its left, or from its own folder. */
const layers: readonly (readonly string[])[] = [
  ["boundary", "ports", "config", "nearest", "reason"],
  ["base", "observe"],
  ["time"],
  ["codec"],
  ["topic"],
  ["message"],
  ["journal"],
  ["session"],
  ["routing"],
  ["connection"],
  ["context"],
  ["publishing"],
  ["lifecycle"],
  ["packets", "output"],
  ["recovery", "broker", "inspect", "mod"],
];

interface Import {
  readonly specifier: string;
  readonly isType: boolean;
  readonly isReExport: boolean;
}

export function importsOf(text: string): Import[] {
  const found = text.matchAll(
    /^(import|export)(\s+type)?\s[^;"']*?from\s+"([^"]+)"|^import\s+"([^"]+)"/gm,
  );
  return Array.from(found, (match) => ({
    specifier: (match[3] ?? match[4])!,
    isType: match[2] !== undefined,
    isReExport: match[1] === "export",
  }));
}

/** The path from the root that a relative specifier of a file names. */
export function resolved(path: string, specifier: string): string {
  const parts = path.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** The text without comments and without the contents of strings. */
export function codeOnly(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, " ")
    .replace(/(^|[^:"'`])\/\/.*$/gm, "$1")
    .replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, '""')
    .replace(/`(?:[^`\\$]|\\.|\$(?!\{))*`/g, "``");
}

function layerOf(path: string): number {
  const name = path.split("/")[1]!.replace(/\.ts$/, "");
  return layers.findIndex((group) => group.includes(name));
}

export function checkImports({ path, text }: SourceFile): Offence[] {
  const offences: Offence[] = [];
  const folder = path.split("/")[0]!;
  for (const { specifier, isType, isReExport } of importsOf(text)) {
    const isRelative = specifier.startsWith(".");
    const target = isRelative ? resolved(path, specifier) : specifier;
    const says = (what: string): void =>
      void offences.push(`${path} imports ${specifier}: ${what}`);
    if (path.startsWith("codec-wasm/assembly/")) {
      // AssemblyScript names files without their extension.
      if (target.startsWith("codec-wasm/assembly/") || target === "core/codec/layout") continue;
      says("the module imports only its own files and core/codec/layout");
      continue;
    }
    // Tests may also import a script that Node runs directly (test/support/peers.mjs).
    const isNamed = /\.ts$|^test\/.*\.mjs$/.test(target);
    if (isRelative && !isNamed) says("name the .ts file");
    if (isReExport && !path.endsWith("mod.ts")) says("only mod.ts re-exports; import where it is");
    if (folder === "core") checkCore(path, target, isRelative, isType, says);
    if (/^(core|adapters|codec-wasm)$/.test(folder) && /^(test|bench)\//.test(target)) {
      says("nothing that ships imports test/ or bench/");
    }
    if (/^(adapters|codec-wasm)$/.test(folder)) checkOutside(path, target, says);
  }
  return offences;
}

function checkCore(
  path: string,
  target: string,
  isRelative: boolean,
  isType: boolean,
  says: (what: string) => void,
): void {
  if (!isRelative || !target.startsWith("core/")) {
    says("core imports only core, by relative path");
    return;
  }
  const [from, to] = [layerOf(path), layerOf(target)];
  if (from < 0) says(`give ${path.split("/")[1]} its place in the layers of test/support/tidy.ts`);
  // The boundary's types may name what other layers define as plain data, and ports likewise.
  const isPlain = isType && from === 0;
  if (to > from && !isPlain) says("layers go from left to right; move what is shared to the left");
}

function checkOutside(path: string, target: string, says: (what: string) => void): void {
  const folder = path.split("/")[0];
  if (target.startsWith("core/") && target !== "core/mod.ts") says("reach the core by core/mod.ts");
  if (folder === "adapters" && /^codec-wasm\/(?!mod\.ts$)/.test(target)) {
    says("reach the codec by codec-wasm/mod.ts");
  }
  if (folder === "codec-wasm" && target.startsWith("adapters/")) says("the codec knows no adapter");
  const runtime = /^adapters\/(node|bun|deno)\//.exec(path)?.[1];
  const other = /^adapters\/(node|bun|deno)\//.exec(target)?.[1];
  if (runtime !== undefined && other !== undefined && runtime !== other) {
    says("runtimes do not know one another; share what stands beside them");
  }
  for (const [name, home] of Object.entries(packageHomes)) {
    if ((target === name || target.startsWith(`${name}/`)) && !home.test(path)) {
      says(`only ${home.source} names ${name}`);
    }
  }
  if (target.startsWith("node:") && !/^adapters\/(node|cli|storage\/folder)\//.test(path)) {
    says("only adapters/node, adapters/cli and adapters/storage/folder name Node's modules");
  }
}

const packageHomes: Readonly<Record<string, RegExp>> = {
  ws: /^adapters\/node\/websocket\.ts$/,
  commander: /^adapters\/cli\/arguments\.ts$/,
  lmdb: /^adapters\/storage\/folder\//,
};

const impure =
  /\b(Date|Promise|async|await|Intl|WeakRef|FinalizationRegistry|eval|globalThis|performance|process|setTimeout|setImmediate|queueMicrotask|console|crypto|Buffer|TextEncoder|TextDecoder)\b|\bMath\.random\b/g;

export function checkPurity({ path, text }: SourceFile): Offence[] {
  if (!path.startsWith("core/")) return [];
  return Array.from(
    codeOnly(text).matchAll(impure),
    ([word]) =>
      `${path} names ${word}: the core is a function of its inputs; take it by a port or \`now\``,
  );
}

/** Cycles of imports, including type imports. */
export function checkCycles(files: readonly SourceFile[]): Offence[] {
  const graph = new Map(
    files.map(({ path, text }) => [
      path,
      importsOf(text)
        .filter(({ specifier }) => specifier.startsWith("."))
        .map(({ specifier }) => resolved(path, specifier)),
    ]),
  );
  const offences: Offence[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      const cycle = [...trail.slice(trail.indexOf(path)), path].join(" → ");
      offences.push(`${cycle}: a cycle of imports; move what both need to a third file`);
      return;
    }
    if (done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return offences;
}

export function checkCitations(file: SourceFile, known: ReadonlySet<string>): Offence[] {
  return Array.from(file.text.matchAll(/\[(MQTT[\w.-]*?-[^\]\s]*)\]/g), (match) => match[1]!)
    .filter((tag) => !known.has(tag))
    .map((tag) => `${file.path} cites [${tag}], which is no statement: see test/conformance`);
}

export function checkText({ path, text }: SourceFile): Offence[] {
  const offences: Offence[] = [];
  const isSource = path.endsWith(".ts");
  const lines = text.split("\n").length - 1;
  if (isSource && lines > 450 && /^(core|adapters|codec-wasm|bench)\//.test(path)) {
    offences.push(`${path} has ${lines} lines: split it by thought before it passes 450`);
  }
  const name = path.split("/").at(-1)!;
  if (isSource && !/^[a-z0-9]+([.-][a-z0-9]+)*\.ts$/.test(name)) {
    offences.push(`${path}: name files in kebab case`);
  }
  if (isSource && path.startsWith("core/") && !text.startsWith("/**")) {
    offences.push(`${path} has no header: say in a comment what the file is for`);
  }
  if (isSource && /^export default/m.test(text) && !defaultExports.has(path)) {
    offences.push(`${path} has a default export: name it`);
  }
  const marker = new RegExp(`\\b(${["TO", "FIX", "HA"].join("|")})(DO|ME|CK)\\b|\\bXX${"X"}\\b`);
  if (marker.test(text)) offences.push(`${path} has a left-over marker: do it or drop it`);
  const skipping = new RegExp(`\\b(it|test|describe)\\.(${["skip", "todo", "only"].join("|")})\\(`);
  if (isSource && skipping.test(text)) offences.push(`${path} leaves tests out: run them all`);
  return offences;
}

/** Files in which a tool requires a default export. */
const defaultExports: ReadonlySet<string> = new Set([
  "vitest.config.ts",
  "test/support/reporter.ts",
]);
