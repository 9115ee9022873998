/** The programs that `npm test` installs, and the tests that it skips when programs are missing. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { needs } from "./support/needs.ts";
import { install, peers } from "./support/peers.mjs";
import { run } from "./support/process.ts";
import { repositoryFiles, root } from "./support/repository.ts";

function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-peers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Runs `install` with a PATH that has only an `apt-get`, made of `script`. Returns its calls and the printed lines. */
function installWith(script: string, host = { isDebian: true, isRoot: true }) {
  const folder = emptyFolder();
  const log = join(folder, "log");
  writeFileSync(log, "");
  const head = `#!/bin/sh\nPATH=/usr/bin:/bin folder=${folder}\necho "$@" >> ${log}\n`;
  writeFileSync(join(folder, "apt-get"), `${head}${script}`, { mode: 0o755 });
  vi.stubEnv("PATH", folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  const lines: string[] = [];
  const count = install((line) => lines.push(line), host);
  const calls = readFileSync(log, "utf8")
    .split("\n")
    .map((call) => call.replace(/^-qq( -o \S+)*/, "").trim());
  return { count, lines, calls: calls.slice(0, -1) };
}

/** Puts every command of mosquitto and its clients on PATH. */
const installsMosquitto = `for name in mosquitto mosquitto_pub mosquitto_sub mosquitto_rr; do
  ln -sf /bin/true $folder/$name
done\n`;

describe("before the tests", () => {
  test("apt-get installs all missing packages in one call", () => {
    const { calls, lines, count } = installWith(installsMosquitto);
    expect(calls[0]).toBe("update");
    expect(calls[1]).toMatch(/^install --yes mosquitto mosquitto-clients .*\bsystemd\b/);
    expect(calls).toHaveLength(2);
    expect(lines).toContain("installed");
    expect(lines.filter((line) => line.startsWith("missing: mosquitto"))).toEqual([]);
    // The script installs no commands of the other packages.
    expect(lines).toContainEqual(
      expect.stringMatching(/^missing: systemd-analyze: no \S+ on PATH; /),
    );
    expect(count).toBe(lines.filter((line) => line.startsWith("missing: ")).length);
  });

  test("a package that is not available does not keep apt-get from installing the others", () => {
    const { calls, lines } = installWith(`
      case "$*" in *systemd*) echo "E: no candidate" >&2; exit 100; esac\n${installsMosquitto}`);
    expect(calls).toContain("install --yes mosquitto-clients");
    expect(lines).toContain("installed mosquitto-clients");
    expect(lines).toContain("apt-get did not install systemd: E: no candidate");
  });

  test.each([
    ["this does not run as root", { isDebian: true, isRoot: false }],
    ["this is not Debian", { isDebian: false, isRoot: true }],
  ])("no package is installed if %s", (reason, host) => {
    const { calls, lines } = installWith(installsMosquitto, host);
    expect(calls).toEqual([]);
    expect(lines).toContain(
      "missing: mosquitto's clients: no mosquitto_pub, mosquitto_sub, mosquitto_rr on PATH; " +
        `Debian's mosquitto-clients has it, but ${reason}`,
    );
  });
});

describe("tests whose peers are missing", () => {
  const file = "test/support/lacking.spec.ts";
  const options = {
    ...{ root, config: false, watch: false, include: [file] },
    reporters: [join(root, "test/support/reporter.ts")],
  };
  const script = `import { startVitest } from "${import.meta.resolve("vitest/node")}";
    const vitest = await startVitest("test", [], ${JSON.stringify(options)});
    await vitest.close();`;
  const runLacking = (...settings: string[]) => {
    const environment = ["CI=", `PATH=${emptyFolder()}`, ...settings];
    const flags = ["--input-type=module", "--eval", script];
    return run("/usr/bin/env", ...environment, process.execPath, ...flags).finished;
  };

  test("are skipped with the reason, and the last line counts them", async () => {
    const { code, stdout, stderr } = await runLacking();
    expect(stdout).toMatch(/^skipped 2: mosquitto: no mosquitto on PATH; /m);
    expect(stdout).toMatch(/^skipped 1: stdbuf: no stdbuf on PATH; /m);
    expect(stdout).toMatch(/\n1 passed, 0 failed, 3 skipped\n$/);
    expect(code, stderr).toBe(0);
  });

  test("fail with CI=true", async () => {
    const { code, stdout, stderr } = await runLacking("CI=true");
    expect(stdout).toMatch(
      /^not skipped but failed, for CI is set, 2: mosquitto: no mosquitto on PATH; /m,
    );
    expect(stdout).toMatch(/\n1 passed, 3 failed, 0 skipped\n$/);
    expect(code, stderr).toBe(1);
  });
});

/** On a machine with every peer, a test that lacks its `needs` would pass unnoticed. */
describe("a test file", needs("a git clone"), () => {
  const files = repositoryFiles("test").filter((path) => path.endsWith(".test.ts"));
  const texts = files
    .filter((path) => path !== "test/peers.test.ts")
    .map((path) => [path, readFileSync(join(root, path), "utf8")] as const);

  test("names each peer whose command it runs", () => {
    const offences = Object.entries(peers).flatMap(([name, { commands = [] }]) =>
      texts
        .filter(([, text]) => commands.some((command) => text.includes(`"${command}"`)))
        .filter(([, text]) => !/\bneeds\(/.test(text) || !text.includes(`"${name}"`))
        .map(([path]) => `${path} does not need "${name}"`),
    );
    expect(offences).toEqual([]);
  });

  test("groups the tests of each runtime by describeOn", () => {
    const offences = texts.filter(([, text]) => text.includes("Object.entries(runtimes)"));
    expect(offences.map(([path]) => path)).toEqual([]);
  });
});
