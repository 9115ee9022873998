// The versions of Node that tests run brokers on, from npm; peers.mjs installs missing versions.
// They are not dependencies, because they differ by platform and have 190 MB each.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Every maintained Node version that package.json allows. */
export const nodeMajors = [20, 22, 24, 26];

/**
 * The command of a Node version: the running Node, or an installed one.
 * @param {number} major
 */
export function nodeCommand(major) {
  if (major === ownMajor) return process.execPath;
  return join(folder, "node_modules", `node${major}`, "bin", "node");
}

// In node_modules, so that `npm ci` renews the folder; with a dot, so that other npm commands keep it.
const folder = fileURLToPath(new URL("../../node_modules/.nodes", import.meta.url));
const ownMajor = Number(process.versions.node.split(".")[0]);

function packageName() {
  const { platform, arch } = process;
  const system = platform === "win32" ? "win" : platform;
  return `${platform === "darwin" && arch === "arm64" ? "node-bin" : "node"}-${system}-${arch}`;
}

/**
 * Installs missing versions. Null if all are present afterwards, otherwise npm's error.
 * @param {(line: string) => void} say
 */
export function installNodes(say) {
  const missing = nodeMajors.filter((major) => !existsSync(nodeCommand(major)));
  if (missing.length === 0) return null;
  say(`installing with npm: Node ${missing.join(", ")}`);
  const wanted = nodeMajors
    .filter((major) => major !== ownMajor)
    .map((major) => `node${major}@npm:${packageName()}@${major}`);
  const flags = ["--prefix", folder, "--no-save", "--no-package-lock", "--no-audit", "--no-fund"];
  // Two tries are enough to find out that there is no network.
  flags.push("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--loglevel=error");
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    return String(error);
  }
  const { status, error, stderr } = spawnSync("npm", ["install", ...flags, ...wanted], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (status === 0) return null;
  return error?.message ?? stderr.toString().split("\n")[0] ?? "";
}
