/**
 * The package as users get it: it is packed, installed into an empty project without a network, run on every
 * runtime, compiled against, and checked by two package linters.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { version } from "../adapters/version.ts";
import { needs } from "./support/needs.ts";
import { concat, connect, publish, subscribe } from "./support/packets.ts";
import { type Finished, run } from "./support/process.ts";
import { describeOn, runtimes } from "./support/runtimes.ts";
import { openSocket } from "./support/socket-client.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const tool = (name: string): string => join(root, "node_modules/.bin", name);
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, unknown>>;
};
/** Every name by which the package can be imported. */
const specifiers = Object.keys(manifest.exports)
  .filter((path) => path !== "./package.json")
  .map((path) => path.replace(/^\./, "sansmq"));

interface Packed {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

const project = mkdtempSync(join(tmpdir(), "sansmq-package-"));
let packed: Packed;

/** `npm test` has built the package; building it again would disturb tests that run it. */
function pack(folder: string): Packed {
  const flags = ["--json", "--ignore-scripts", "--pack-destination", project];
  const told = execFileSync("npm", ["pack", folder, ...flags], {
    cwd: root,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return Object.values(JSON.parse(told.toString()) as Record<string, Packed>)[0]!;
}

beforeAll(() => {
  packed = pack(".");
  // The dependencies are packed too, so that the installation needs no network.
  const needed = Object.keys(manifest.dependencies).map((name) => pack(`./node_modules/${name}`));
  const tarballs = [packed, ...needed].map(({ filename }) => `./${filename}`);
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  const flags = ["--offline", "--no-audit", "--no-fund"];
  execFileSync("npm", ["install", ...flags, ...tarballs], { cwd: project, stdio: "ignore" });
}, 120_000);
afterAll(() => rmSync(project, { recursive: true }));

describe("the tarball", () => {
  test("has the compiled core, codec-wasm and adapters, and their documents", () => {
    const told = ["LICENSE", "README.md", "docs/CHANGELOG.md", "package.json"];
    const surplus = packed.files.filter(({ path }) => {
      const source = path.replace(/^dist\//, "").replace(/(\.d\.ts|\.js)$/, ".ts");
      const isCompiled = /^dist\/(core|codec-wasm|adapters)\//.test(path) && source !== path;
      return !told.includes(path) && !(isCompiled && existsSync(join(root, source)));
    });
    expect(surplus).toEqual([]);
    for (const path of told) expect(packed.files.map((file) => file.path)).toContain(path);
  });

  test("is at most 1.35 megabytes", () => {
    expect(packed.unpackedSize).toBeGreaterThan(100_000);
    expect(packed.unpackedSize).toBeLessThan(1_350_000);
  });

  test("publint finds no problem", async () => {
    const bytes = readFileSync(join(project, packed.filename));
    const tarball = new Uint8Array(bytes).buffer;
    const { messages, pkg } = await publint({ pack: { tarball }, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  // The package has no CommonJS: `esm-only` leaves out problems that only CommonJS and the resolution of Node 10 have.
  // `require` of Node 20.19 and later accepts such a package.
  test("Are the Types Wrong? finds no problem", async () => {
    const tarball = join(project, packed.filename);
    const { code, stdout } = await run(tool("attw"), tarball, "--profile", "esm-only").finished;
    for (const name of specifiers) expect(stdout).toContain(`"${name}"`);
    expect(code, stdout).toBe(0);
  }, 60_000);
});

/** Starts a broker of the runtime's own adapter and prints its address. */
const program = `${specifiers.map((name, n) => `import * as m${n} from "${name}";`).join("\n")}
const modules = { ${specifiers.map((name, n) => `"${name}": m${n}`).join(", ")} };
const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const { createBroker } = modules["sansmq"];
const broker = await createBroker({ tcp: { port: 0 }, ws: { port: 0 } });
console.log(JSON.stringify({
  addresses: broker.addresses,
  isOwn: createBroker === modules[\`sansmq/\${runtime}\`].createBroker,
  empty: Object.keys(modules).filter((name) => Object.keys(modules[name]).length === 0),
}));
`;

describe("the installed package", () =>
  describeOn(Object.keys(runtimes), (_, [command, ...flags]) => {
    test("has every export, and a broker of the runtime's own adapter serves", async () => {
      const file = join(project, "serve.js");
      writeFileSync(file, program);
      const running = run(command, ...flags, file);
      const [line] = await running.says(/^\{.*\}$/m);
      const said = JSON.parse(line) as { addresses: string[] };
      expect(said).toMatchObject({ isOwn: true, empty: [] });
      for (const address of said.addresses) {
        const client = await openSocket(address);
        client.send(concat(connect(), subscribe(1, ["a", 0]), publish("a", "x")));
        expect(await client.takes(3)).toContain('PUBLISH a "x" q0');
        client.destroy();
      }
      running.child.kill("SIGKILL");
      await running.finished;
      expect(running.stderr).toBe("");
    });

    test("has a command that prints its version", async () => {
      const main = join(project, "node_modules/sansmq/dist/adapters/cli/main.js");
      const finished = await run(command, ...flags, main, "--version").finished;
      expect(finished).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    });
  }));

describe("in the project that installed the package", () => {
  const inProject = (...words: string[]): Promise<Finished> =>
    run("sh", "-c", `cd "$1" && shift && exec "$@"`, "sh", project, ...words).finished;
  for (const [name, needed, words] of [
    ["npx", [], ["npx", "--offline", "sansmq"]],
    ["bunx", ["Bun"], [tool("bun"), "x", "--bun", "sansmq"]],
    ["deno run", ["Deno"], [tool("deno"), "run", "--no-prompt", "--allow-net", "npm:sansmq"]],
  ] as const) {
    test(`${name} runs the command`, needs(...needed), async () => {
      const { code, stdout, stderr } = await inProject(...words, "--version");
      expect([code, stdout], stderr).toEqual([0, `${version}\n`]);
    });
  }
});

describe("the types of the package", () => {
  const source = `${specifiers.map((name, n) => `import * as m${n} from "${name}";`).join("\n")}
import { type BrokerOptions, type BrokerServer, createBroker } from "sansmq";
import { createLocalBroker } from "sansmq/local";
const options: BrokerOptions = {
  tcp: { port: 0 },
  users: { ada: "lovelace" },
  authorizePublish: ({ username }, topic) => topic.startsWith(\`\${username}/\`),
  limits: { packetBytesMax: 65_536 },
};
const broker: BrokerServer = await createBroker(options);
broker.on("connected", ({ clientId }) => clientId.toUpperCase());
broker.publish("news", "text", { qos: 1, retain: true, properties: { ContentType: "text/plain" } });
// @ts-expect-error an unknown limit
await createBroker({ limits: { packets: 1 } });
await createLocalBroker().close();
export const modules = [${specifiers.map((_, n) => `m${n}`).join(", ")}];
`;
  test.each([
    ["node16", "node16"],
    ["bundler", "esnext"],
  ])("check under moduleResolution %s", async (moduleResolution, module) => {
    const file = join(project, `check-${moduleResolution}.ts`);
    writeFileSync(file, source);
    const flags = ["--ignoreConfig", "--strict", "--noEmit", "--target", "es2022"];
    const how = ["--module", module, "--moduleResolution", moduleResolution];
    const { code, stdout } = await run(tool("tsc"), ...flags, ...how, file).finished;
    expect([code, stdout]).toEqual([0, ""]);
  });

  test.each(["bun", "deno"])("have no server of Node under the condition %s", async (condition) => {
    const file = join(project, `check-${condition}.ts`);
    writeFileSync(
      file,
      `import { createBroker } from "sansmq";
const broker = await createBroker();
// @ts-expect-error only Node has it
broker.attachWebSocket;
await broker.close();
`,
    );
    const flags = ["--ignoreConfig", "--strict", "--noEmit", "--target", "es2022"];
    const how = ["--module", "esnext", "--moduleResolution", "bundler"];
    const as = ["--customConditions", condition];
    const { code, stdout } = await run(tool("tsc"), ...flags, ...how, ...as, file).finished;
    expect([code, stdout]).toEqual([0, ""]);
  });
});
