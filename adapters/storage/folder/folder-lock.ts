/**
 * Keeps a second process off a folder: a socket in it that listens. The system ends it with the
 * process, however that ends, so that a lock is never left behind.
 */
import { createHash } from "node:crypto";
import { existsSync, unlinkSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Locks a folder; resolves with the function that unlocks it, or with null if a process has it. */
export async function lockFolder(folder: string): Promise<(() => Promise<void>) | null> {
  const path = socketPath(folder);
  for (let attempt = 0; attempt < 2; attempt++) {
    const unlock = await listenAt(path);
    if (unlock !== null) return unlock;
    if (await answers(path)) return null;
    // The socket of a process that ended without unlocking.
    unlinkSync(path);
  }
  return null;
}

/** Whether a folder has a lock, perhaps of a process that ended without unlocking. */
export function hasLock(folder: string): boolean {
  return existsSync(socketPath(folder));
}

async function listenAt(path: string): Promise<(() => Promise<void>) | null> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "EADDRINUSE") return null;
    throw error;
  }
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

function socketPath(folder: string): string {
  const name = `sansmq-${createHash("sha256").update(folder).digest("hex").slice(0, 32)}`;
  // Windows has named pipes instead.
  if (process.platform === "win32") return `\\\\.\\pipe\\${name}`;
  const path = join(folder, "lock");
  // The system takes short paths only, and Node cuts a longer one without a word.
  return Buffer.byteLength(path) <= PATH_BYTES_MAX ? path : join(tmpdir(), `${name}.lock`);
}

const PATH_BYTES_MAX = 100;
