// `sansmq store` on a disk that is full or too small: one line names the cause, and nothing is left behind.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import { needs } from "../support/needs.ts";
import { runSansmq } from "../support/process.ts";
import { newFolder } from "../support/serving.ts";
import { storeCommand } from "../support/store-command.ts";

/** A file system of `size` in memory. */
function tmpfs(size: string): string {
  const path = newFolder();
  expect(spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]).status).toBe(0);
  onTestFinished(() => void spawnSync("umount", ["-l", path]));
  return path;
}

/** Lines that make a store of more than 1 MB, in several transactions. */
function lines(): string {
  const text = ['{"type":"store","format":1}'];
  const numbers = Array.from({ length: 2500 }, (_, n) => n + 1);
  const payload = "x".repeat(300);
  for (const number of numbers) {
    text.push(JSON.stringify({ type: "message", number, topic: `t/${number}`, payload }));
  }
  for (const number of numbers) {
    text.push(JSON.stringify({ type: "retained", topic: `t/${number}`, message: number }));
  }
  return text.join("\n");
}

const noRoom = {
  ...{ code: 1, stdout: "" },
  stderr: expect.stringMatching(/^sansmq: no room: ENOSPC in \S+\n$/) as string,
};

describe("on a small disk", needs("mounting"), () => {
  /** A store, and the file that it was imported from. */
  async function imported(): Promise<{ folder: string; file: string }> {
    const [file, folder] = [join(newFolder(), "lines"), join(newFolder(), "store")];
    writeFileSync(file, lines());
    expect((await storeCommand("import", folder, file)).code).toBe(0);
    return { folder, file };
  }

  // LMDB ends the process in different ways, by where it runs out of room.
  test.each(["4k", "16k", "64k", "200k", "1m"])("of %s: an import and a backup", async (size) => {
    const { folder, file } = await imported();
    const disk = tmpfs(size);
    const to = join(disk, "deep", "er");
    expect(await runSansmq("store", "import", to, file).finished).toEqual(noRoom);
    expect(readdirSync(disk)).toEqual([]);
    expect(await runSansmq("store", "backup", folder, to).finished).toEqual(noRoom);
    expect(readdirSync(disk)).toEqual([]);
  });

  test.each([0, 20_000, 600_000])("with %i bytes left: a compaction", async (freeBytes) => {
    const { folder } = await imported();
    const disk = tmpfs("4m");
    const copy = join(disk, "copy");
    expect((await storeCommand("backup", folder, copy)).code).toBe(0);
    const free = spawnSync("stat", ["-f", "-c", "%a %S", disk], { encoding: "utf8" }).stdout;
    const [blocks, blockBytes] = free.split(" ").map(Number);
    writeFileSync(join(disk, "ballast"), new Uint8Array(blocks! * blockBytes! - freeBytes));
    const before = readFileSync(join(copy, "data.mdb"));
    expect(await runSansmq("store", "compact", copy).finished).toEqual(noRoom);
    // Not by `toEqual`, which takes seconds for so many bytes.
    expect(readFileSync(join(copy, "data.mdb")).equals(before)).toBe(true);
    expect(existsSync(join(copy, ".sansmq-new"))).toBe(false);
    expect((await runSansmq("store", "verify", copy).finished).code).toBe(0);
  });
});

test("a broker removes what a killed import or compaction left", async () => {
  const folder = newFolder();
  mkdirSync(join(folder, ".sansmq-new"));
  writeFileSync(join(folder, ".sansmq-new", "data.mdb"), "part");
  await (await openLmdbStore(folder)).close();
  expect(existsSync(join(folder, ".sansmq-new"))).toBe(false);
});
