/** The repository's files, for tests that read them and have `needs("a git clone")`. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** The tracked files, and the new files that are not ignored, in a folder; none outside a git clone. */
export function repositoryFiles(folder = "."): string[] {
  const flags = ["ls-files", "-co", "--exclude-standard", folder];
  const { status, stdout } = spawnSync("git", flags, { cwd: root, encoding: "utf8" });
  if (status !== 0) return [];
  return stdout.split("\n").filter((path) => path !== "" && existsSync(join(root, path)));
}
