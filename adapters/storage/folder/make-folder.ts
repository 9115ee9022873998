/** The folder of a store. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { ConfigError } from "../../../core/mod.ts";

/**
 * Makes a folder if need be, and checks that it can be written. Returns the folders that it made, the innermost first.
 * Throws ConfigError.
 */
export function writableFolder(field: string, path: string): readonly string[] {
  const made: string[] = [];
  try {
    makeFolder(path, made);
    if (!statSync(path).isDirectory()) throw notFolder(field, path);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return made;
  } catch (error) {
    removeFolders(made);
    if (error instanceof ConfigError) throw error;
    const { code, name } = error as { readonly code?: string; readonly name?: string };
    // Deno's own error says which permission is missing.
    if (name === "NotCapable") throw error;
    const allowed = `a folder that can be written (${code ?? String(error)})`;
    throw new ConfigError(field, path, allowed);
  }
}

/** Makes a folder and those above it. Not by `recursive`: where the system makes none, as in /proc, Node tries for ever. */
function makeFolder(path: string, made: string[]): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent, made);
  mkdirSync(path, { mode: 0o700 });
  made.unshift(path);
  syncFolder(parent);
}

export function notFolder(field: string, path: string): ConfigError {
  return new ConfigError(
    field,
    path,
    "a folder",
    `${field}: ${JSON.stringify(path)} is not a folder`,
  );
}

/** Removes folders, the innermost first, as far as they are empty. */
export function removeFolders(folders: readonly string[]): void {
  for (const folder of folders) {
    if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
  }
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
