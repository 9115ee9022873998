/**
 * docs/deploy, without a container engine and without systemd as the first process: the Dockerfile's instructions are
 * replayed in a folder, systemd-analyze checks the unit, and the unit's command runs.
 */
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { version } from "../adapters/version.ts";
import { type Image, replayDockerfile } from "./support/dockerfile.ts";
import { needs } from "./support/needs.ts";
import { connect } from "./support/packets.ts";
import { type Running, run, runSansmq } from "./support/process.ts";
import { openSocket } from "./support/socket-client.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const dockerfile = join(root, "docs/deploy/Dockerfile");
const unitFile = join(root, "docs/deploy/sansmq.service");
const unit = readFileSync(unitFile, "utf8");

const start = ([command, ...args]: readonly string[]): Running => run(command!, ...args);

/** Expects that the broker listens at `host` and accepts its user. Returns the port. */
async function serves(broker: Running, host: string): Promise<string> {
  const [, address, port] = await broker.says(/^sansmq listening tcp:\/\/(\S+):(\d+) .*\n/);
  expect(address).toBe(host);
  const client = await openSocket(`tcp://127.0.0.1:${port}`);
  client.send(connect({ clientId: "c", username: "ada", password: "lovelace" }));
  expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
  return port!;
}

/** The Dockerfile builds on Node 24 and downloads dependencies. */
describe("the Dockerfile", needs("Node 24", "a registry for npm"), () => {
  let folder: string;
  let image: Image;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sansmq-deploy-"));
    image = await replayDockerfile(dockerfile, root, folder);
    const configuration = { username: "ada", password: "lovelace", port: 0, wsPort: 0 };
    mkdirSync(join(image.root, "etc/sansmq"), { recursive: true });
    writeFileSync(join(image.root, "etc/sansmq/sansmq.json"), JSON.stringify(configuration));
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  test("builds from the sources, and the image has only the package and the health check", () => {
    const has = (path: string): boolean => existsSync(join(folder, path));
    for (const path of ["core", "package-lock.json"]) expect(has(`build/src/${path}`)).toBe(true);
    // Files of earlier npm and compiler runs are not expected; `npm test` compiled the benchmark.
    for (const path of [".git", "node_modules/.nodes", "dist/bench"])
      expect(has(`build/src/${path}`)).toBe(false);
    const manifest = join(image.root, "opt/sansmq/node_modules/sansmq/package.json");
    expect(JSON.parse(readFileSync(manifest, "utf8"))).toMatchObject({ version });
    expect(has("last/opt/sansmq/healthcheck.mjs")).toBe(true);
    expect(has("last/opt/sansmq/node_modules/typescript")).toBe(false);
    expect(has(`last/tmp/sansmq-${version}.tgz`)).toBe(false);
  });

  test("has a command that serves, passes the health check, and exits 0 on the stop signal", async () => {
    const broker = start(image.command);
    const port = await serves(broker, "0.0.0.0");
    const healthy = await start([...image.healthCheck, port]).finished;
    expect([healthy.code, healthy.stdout]).toEqual([0, "serving\n"]);
    broker.child.kill(image.stopSignal);
    expect((await broker.finished).code).toBe(0);
  });

  // An engine stops a container by a signal to the first process of its namespace, to which the kernel delivers only
  // signals that the process handles.
  test(
    "has a command that exits 0 on the stop signal as the first process of a container",
    needs("PID namespaces"),
    async () => {
      const namespace = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"];
      // The namespace has no user 1000, to which the image gave the folder of the store.
      chownSync(join(image.root, "var/lib/sansmq"), process.getuid!(), process.getgid!());
      const broker = start([...namespace, ...image.command]);
      await serves(broker, "0.0.0.0");
      const { pid } = broker.child;
      const first = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"));
      expect(readFileSync(`/proc/${first}/status`, "utf8")).toMatch(/^NSpid:.*\t1$/m);
      process.kill(first, image.stopSignal);
      expect((await broker.finished).code).toBe(0);
    },
  );

  test("exposes the default ports and runs as a user other than root", async () => {
    const { stdout } = await runSansmq("--help").finished;
    const ports = Array.from(
      stdout.matchAll(/port; 0 picks .*default: (\d+)/g),
      ([, port]) => port,
    );
    expect(image.ports).toEqual(ports.map(Number));
    expect(image.user).toBe("node");
  });

  test("the command of the systemd unit serves from the npm installation, and exits 0 on SIGTERM", async () => {
    const [, command] = /^ExecStart=\/usr\/bin\/node (.*)$/m.exec(unit)!;
    const words = command!
      .replace("%d", "/etc/sansmq")
      .split(" ")
      .map((word) => word.replace(/^\//, `${image.root}/`));
    const broker = start([process.execPath, ...words]);
    await serves(broker, "127.0.0.1");
    broker.child.kill("SIGTERM");
    expect((await broker.finished).code).toBe(0);
  });
});

describe("the systemd unit", needs("systemd-analyze"), () => {
  test("has only settings that systemd knows", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sansmq-unit-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const copy = join(folder, "sansmq.service");
    // systemd-analyze also looks for the program, which need not be in /usr/bin here.
    writeFileSync(copy, unit.replace("/usr/bin/node", process.execPath));
    const { code, stdout, stderr } = await run("systemd-analyze", "verify", copy).finished;
    expect([code, stdout, stderr]).toEqual([0, "", ""]);
  });

  test("has an exposure level of at most 2 of 10", async () => {
    const flags = ["--offline=true", "--threshold=20"];
    const { code, stdout } = await run("systemd-analyze", "security", ...flags, unitFile).finished;
    expect(code, stdout).toBe(0);
  });
});
