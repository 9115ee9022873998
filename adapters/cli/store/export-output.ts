/** The file, pipe or device that `sansmq store export` writes to. */
import type { Stats } from "node:fs";
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { ConfigError } from "../../../core/mod.ts";
import { CommanderError } from "../arguments.ts";
import { oneLine } from "../one-line.ts";
import { toStdout } from "./stdout.ts";

export interface Output {
  write(text: string): Promise<void> | void;
  finish(): void;
  /** Removes the part that was written, if it can be removed. */
  discard(): void;
}

/** Throws CommanderError if `file` is in the folder of the store: an export to `data.mdb` would replace the store. */
export function checkOutside(folder: string, file: string): void {
  if (!existsSync(folder) || isSpecial(file)) return;
  const store = realpathSync(folder);
  const target = realPathOf(file);
  if (!target.startsWith(store.endsWith(sep) ? store : store + sep)) return;
  const message = `file: ${JSON.stringify(file)} is not allowed; allowed is a file outside the folder of the store`;
  throw new CommanderError(2, "sansmq.store", message);
}

/** `file`: null for standard output. Throws ConfigError if it cannot be written. */
export function outputTo(file: string | null): Output {
  if (file === null) return { write: toStdout, finish: () => {}, discard: () => {} };
  try {
    if (isSpecial(file)) return through(file);
    const path = realPathOf(file);
    const stats = statSync(path, { throwIfNoEntry: false }) ?? null;
    if (stats?.isDirectory() === true) throw new Error("it is a folder");
    return regularFile(path, stats);
  } catch (error) {
    throw new ConfigError("file", file, `a file that can be written (${oneLine(error)})`);
  }
}

/**
 * A file that gets its name when it is complete. A new one may be read only by its owner, because it has payloads; one
 * that is there keeps its mode.
 */
function regularFile(path: string, stats: Stats | null): Output {
  if (stats !== null) accessSync(path, constants.W_OK);
  const part = `${path}.part`;
  rmSync(part, { force: true });
  const descriptor = openSync(part, "wx", NEW_FILE_MODE);
  if (stats !== null) fchmodSync(descriptor, stats.mode & MODE_BITS);
  return {
    write: (text) => writeAll(descriptor, text),
    finish: () => {
      fsyncSync(descriptor);
      closeSync(descriptor);
      renameSync(part, path);
    },
    discard: () => rmSync(part, { force: true }),
  };
}

/** Whether `file` names a pipe or a device. Such a name, like `/proc/self/fd/1`, may have no real path. */
function isSpecial(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats !== undefined && !stats.isFile() && !stats.isDirectory();
}

/** Writes to a pipe or a device, which must not be replaced by a file. */
function through(path: string): Output {
  const descriptor = openSync(path, constants.O_WRONLY);
  return {
    write: (text) => writeAll(descriptor, text),
    finish: () => closeSync(descriptor),
    discard: () => closeSync(descriptor),
  };
}

function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
}

/** The path without symbolic links, also if there is no such file. */
function realPathOf(file: string): string {
  let path = resolve(file);
  for (let count = 0; count < LINKS_MAX; count++) {
    const folder = dirname(path);
    if (existsSync(path)) return realpathSync(path);
    if (!existsSync(folder)) return path;
    path = join(realpathSync(folder), basename(path));
    const target = linkTarget(path);
    if (target === null) return path;
    path = resolve(dirname(path), target);
  }
  return path;
}

/** Null: it is no symbolic link. */
function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (code === "EINVAL" || code === "ENOENT") return null;
    throw error;
  }
}

const NEW_FILE_MODE = 0o600;
const MODE_BITS = 0o777;
/** As many as Linux follows. */
const LINKS_MAX = 40;
