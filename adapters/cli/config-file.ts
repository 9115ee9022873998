/** The configuration file: one JSON object of settings. */
import { readFileSync } from "node:fs";
import { ConfigError } from "../../core/mod.ts";
import { isObject } from "../checks.ts";
import { jsonFault } from "./json-fault.ts";
import { oneLine } from "./one-line.ts";

/** The settings in a file. Throws ConfigError if the file cannot be read or is not a JSON object. */
export function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    // Windows editors start a file with a byte order mark.
    text = readFileSync(path, "utf8").replace(/^\ufeff/, "");
  } catch (error) {
    throw new ConfigError("--config", path, `a readable file (${oneLine(error)})`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    const { line, column } = jsonFault(text)!;
    throw new ConfigError(
      "--config",
      path,
      `a JSON file (invalid JSON at line ${line}, column ${column})`,
    );
  }
  if (!isObject(parsed))
    throw new ConfigError("--config", path, "a file that contains one JSON object");
  return parsed;
}
