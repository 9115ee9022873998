/**
 * The programs that tests need and npm does not install with the dependencies. `npm test` begins with
 * `node test/support/peers.mjs`: as root on Debian, it installs missing programs, and it prints which it installed and
 * which stay missing. Tests name the programs that they need by `needs` of needs.ts. With `--required`, it exits with 1
 * if a program stays missing.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installNodes, nodeCommand, nodeMajors } from "./nodes.mjs";

/**
 * A peer is present if each of `commands` is on PATH and `probe` exits with 0.
 * @typedef {object} Peer
 * @property {string} [debian] the Debian package of the peer
 * @property {readonly string[]} [commands]
 * @property {readonly string[]} [probe]
 * @property {string} [failure] the problem if `probe` fails
 */

const root = fileURLToPath(new URL("../..", import.meta.url));
/** @param {string} name */
const bin = (name) => join(root, "node_modules/.bin", name);

/** The start of a command that runs as the user `nobody`. */
export const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/** The Chromium that tests drive. */
export const chromiumCommand = process.env["CHROMIUM"] ?? "chromium";

/** @type {Readonly<Record<string, Peer>>} */
export const peers = {
  mosquitto: { debian: "mosquitto", commands: ["mosquitto"] },
  "mosquitto's clients": {
    debian: "mosquitto-clients",
    commands: ["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"],
  },
  "Paho for C": {
    debian: "paho.mqtt.c-examples",
    commands: ["paho_c_pub", "paho_c_sub", "paho_cs_pub", "paho_cs_sub"],
  },
  "Paho for Python": {
    debian: "python3-paho-mqtt",
    probe: ["/usr/bin/python3", "-c", "import paho.mqtt.client"],
    failure: "/usr/bin/python3 has no module paho.mqtt.client",
  },
  "Python 3": { debian: "python3", commands: ["python3"] },
  stdbuf: { debian: "coreutils", commands: ["stdbuf"] },
  Chromium: { debian: "chromium", commands: [chromiumCommand] },
  script: { debian: "bsdutils", commands: ["script"] },
  "systemd-analyze": { debian: "systemd", commands: ["systemd-analyze"] },
  strace: {
    debian: "strace",
    commands: ["strace"],
    probe: ["strace", "-f", "-o", "/dev/null", "true"],
    failure: "strace traces no process: the kernel or the container forbids it",
  },
  "a git clone": {
    debian: "git",
    probe: ["git", "-C", root, "rev-parse"],
    failure: "git does not read this folder as a clone",
  },
  Linux: {
    probe: [process.execPath, "-e", 'require("node:fs").readdirSync("/proc/self/fd")'],
    failure: "there is no /proc/self/fd",
  },
  prlimit: { debian: "util-linux", commands: ["prlimit"] },
  "another user": {
    debian: "util-linux",
    commands: ["setpriv"],
    probe: [
      ...asNobody,
      process.execPath,
      "-e",
      `fs.accessSync(${JSON.stringify(fileURLToPath(import.meta.url))})`,
    ],
    failure: "setpriv runs no process as another user, or that user cannot read the project",
  },
  mounting: {
    commands: ["mount", "umount"],
    probe: [
      "sh",
      "-c",
      'd=$(mktemp -d) && mount -t tmpfs tmpfs "$d"; s=$?; umount "$d"; rmdir "$d"; exit $s',
    ],
    failure: "the user or the container may not mount a file system",
  },
  IPv6: {
    probe: [process.execPath, "-e", 'require("node:net").createServer().listen(0, "::1").unref()'],
    failure: "nothing can listen at ::1",
  },
  "PID namespaces": {
    commands: ["unshare"],
    probe: ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"],
    failure: "unshare makes none: the kernel or the container forbids it",
  },
  "a registry for npm": {
    probe: ["npm", "ping", "--fetch-retries=0", "--fetch-timeout=10000"],
    failure: "npm reaches no registry",
  },
  ...Object.fromEntries(
    nodeMajors.map((major) => [
      `Node ${major}`,
      { probe: [nodeCommand(major), "--version"], failure: "`npm test` did not install it" },
    ]),
  ),
  Bun: { probe: [bin("bun"), "--version"], failure: "`npm install` did not install it" },
  Deno: { probe: [bin("deno"), "--version"], failure: "`npm install` did not install it" },
};

/** With `CI=true`, a missing peer fails the tests that need it. */
export const isCI = !["", "0", "false"].includes(process.env["CI"] ?? "");

/** The machine that runs the tests. */
const ownHost = {
  isDebian: existsSync("/etc/debian_version"),
  isRoot: process.getuid?.() === 0,
};

/**
 * Why tests that need a peer cannot run, in one line; null if the peer is present.
 * @param {string} name
 */
export function missing(name, host = ownHost) {
  const problem = problemOf(name);
  if (problem === null) return null;
  const { debian } = peers[name] ?? {};
  if (debian === undefined) return `${name}: ${problem}`;
  const obstacle = whyNotInstalled(host);
  const remedy =
    obstacle === null ? `: ${COMMAND} installs it, or says why not` : `, but ${obstacle}`;
  return `${name}: ${problem}; Debian's ${debian} has it${remedy}`;
}

/** @param {string} name */
function problemOf(name) {
  const peer = peers[name];
  if (peer === undefined) throw new Error(`test/support/peers.mjs has no peer ${name}`);
  const { commands = [], probe, failure = "" } = peer;
  const absent = commands.filter((command) => pathOf(command) === null);
  if (absent.length > 0) return `no ${absent.join(", ")} on PATH`;
  if (probe === undefined) return null;
  const [command = "", ...args] = probe;
  return spawnSync(command, args, { stdio: "ignore", timeout: 30_000 }).status === 0
    ? null
    : failure;
}

/**
 * The file of a command, by PATH unless the command is a path; null if there is none.
 * @param {string} command
 */
export function pathOf(command) {
  const folders = command.includes("/") ? [""] : (process.env["PATH"] ?? "").split(delimiter);
  for (const folder of folders) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The command is not in this folder.
    }
  }
  return null;
}

/**
 * Why Debian's packages may not be installed; null if they may.
 * @param {typeof ownHost} host
 */
function whyNotInstalled({ isDebian, isRoot }) {
  if (!isDebian) return "this is not Debian";
  if (!isRoot) return "this does not run as root";
  return pathOf("apt-get") === null ? "there is no apt-get on PATH" : null;
}

/**
 * Installs missing peers if that is allowed. Returns how many stay missing.
 * @param {(line: string) => void} say
 */
export function install(say, host = ownHost) {
  const npmProblem = installNodes(say);
  if (npmProblem !== null) say(`npm did not install them: ${npmProblem}`);
  const packages = Object.keys(peers)
    .filter((name) => peers[name]?.debian !== undefined && problemOf(name) !== null)
    .map((name) => peers[name]?.debian ?? "");
  if (packages.length > 0 && whyNotInstalled(host) === null) installDebian(packages, say);
  const reasons = Object.keys(peers)
    .map((name) => missing(name, host))
    .filter((reason) => reason !== null);
  const count = Object.keys(peers).length;
  if (reasons.length === 0) say(`all ${count} that tests need are there`);
  for (const reason of reasons) say(`missing: ${reason}`);
  if (host.isDebian && !host.isRoot && packages.length > 0) {
    say(`to have Debian's, as root: apt-get install ${packages.join(" ")}`);
  }
  if (reasons.length > 0) {
    const outcome = isCI ? "fail, for CI is set" : "are skipped";
    say(`${reasons.length} of ${count} are missing: tests that need them ${outcome}`);
  }
  return reasons.length;
}

/**
 * @param {readonly string[]} packages
 * @param {(line: string) => void} say
 */
function installDebian(packages, say) {
  say(`installing with apt-get: ${packages.join(" ")}`);
  // The package lists may be old or missing. If no server answers, the installation reports it.
  aptGet("update");
  if (aptGet("install", "--yes", ...packages) === null) return say("installed");
  // If one package is not available, apt-get installs none of them.
  for (const name of packages) {
    const problem = aptGet("install", "--yes", name);
    say(problem === null ? `installed ${name}` : `apt-get did not install ${name}: ${problem}`);
  }
}

/**
 * Null if apt-get succeeded, otherwise its first error.
 * @param {...string} args
 */
function aptGet(...args) {
  // A network that drops packets must not delay the tests for long.
  const options = ["DPkg::Lock::Timeout=120", "Acquire::Retries=1"].concat(
    ["http", "https"].map((scheme) => `Acquire::${scheme}::Timeout=20`),
  );
  const flags = ["-qq", ...options.flatMap((option) => ["-o", option])];
  const { status, error, stderr } = spawnSync("apt-get", [...flags, ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 900_000,
  });
  if (status === 0) return null;
  const lines = stderr.toString().trimEnd().split("\n");
  return error?.message ?? lines.find((line) => line.startsWith("E:")) ?? lines.at(-1) ?? "";
}

const COMMAND = "`node test/support/peers.mjs`";

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const count = install((line) => void process.stdout.write(`peers: ${line}\n`));
  if (process.argv.includes("--required") && count > 0) process.exitCode = 1;
}
