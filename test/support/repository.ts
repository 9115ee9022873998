/** The repository's files, for tests that read them: those `needs("a git clone")`. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** What git tracks, and what is new and not ignored, in a folder; nothing where git cannot tell. */
export function repositoryFiles(folder = "."): string[] {
  const flags = ["ls-files", "-co", "--exclude-standard", folder];
  const { status, stdout } = spawnSync("git", flags, { cwd: root, encoding: "utf8" });
  if (status !== 0) return [];
  return stdout.split("\n").filter((path) => path !== "" && existsSync(join(root, path)));
}
