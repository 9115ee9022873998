/** The configuration file: one JSON object of settings. */
import { readFileSync } from "node:fs";
import { ConfigError } from "../../core/mod.ts";

/** The settings in a file. Throws ConfigError where it can not be read or is not a JSON object. */
export function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError("--config", path, `a file that can be read (${messageOf(error)})`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new ConfigError("--config", path, `a JSON file (${messageOf(error)})`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new ConfigError("--config", path, "a file with one JSON object");
  }
  return parsed as Readonly<Record<string, unknown>>;
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
