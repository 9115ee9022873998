/** The folder of a store. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
} from "node:fs";
import { dirname } from "node:path";
import { ConfigError } from "../../../core/mod.ts";

/** Makes a folder if need be, and checks that it can be written. Throws ConfigError. */
export function writableFolder(field: string, path: string): void {
  try {
    makeFolder(path);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code, name } = error as { readonly code?: string; readonly name?: string };
    // Deno's own error says which permission is missing.
    if (name === "NotCapable") throw error;
    const allowed = `a folder that can be written (${code ?? String(error)})`;
    throw new ConfigError(field, path, allowed);
  }
}

/** Makes a folder and those above it. Not by `recursive`: where the system makes none, as in /proc, Node tries for ever. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  mkdirSync(path, { mode: 0o700 });
  syncFolder(parent);
}

/** Makes the names in a folder durable. On Windows, a folder cannot be opened. */
export function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
