// `sansmq store` on a folder that its user may not read or not write, and on what is no folder.
import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import { needs } from "../support/needs.ts";
import { asNobody } from "../support/peers.mjs";
import { command, type Finished, run } from "../support/process.ts";
import { newFolder } from "../support/serving.ts";
import { storeCommand } from "../support/store-command.ts";

describe("as another user", needs("another user"), () => {
  const as = (...args: readonly string[]): Promise<Finished> =>
    run(asNobody[0]!, ...asNobody.slice(1), process.execPath, command, "store", ...args).finished;

  /** An empty store that everybody may read. */
  async function readable(): Promise<string> {
    const [folder, file] = [join(newFolder(), "store"), join(newFolder(), "lines")];
    writeFileSync(file, '{"type":"store","format":1}');
    expect((await storeCommand("import", folder, file)).code).toBe(0);
    for (const path of [folder, dirname(folder)]) chmodSync(path, 0o755);
    chmodSync(join(folder, "data.mdb"), 0o644);
    return folder;
  }

  test("a store that cannot be written is verified and exported, and not copied", async () => {
    const folder = await readable();
    const before = readdirSync(folder);
    expect(await as("verify", folder)).toMatchObject({ code: 0, stderr: "" });
    expect(await as("export", folder)).toMatchObject({ code: 0, stderr: "" });
    for (const args of [
      ["backup", folder, join(folder, "..", "copy")],
      ["compact", folder],
    ]) {
      const { code, stderr } = await as(...args);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^sansmq: store: ".*" .* a folder that can be written \(EACCES\)\n$/);
    }
    expect(readdirSync(folder)).toEqual(before);
  });

  test("the same beside a broker, whose lock stays", async () => {
    const folder = await readable();
    const broker = await openLmdbStore(folder);
    chmodSync(join(folder, "journal.log"), 0o644);
    const before = readdirSync(folder);
    expect(await as("verify", folder)).toMatchObject({ code: 0, stderr: "" });
    expect(await as("backup", folder, join(folder, "..", "copy"))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/ a folder that can be written \(EACCES\)\n$/) as string,
    });
    expect(readdirSync(folder)).toEqual(before);
    await broker.close();
  });

  test("a store that cannot be read is named as such", async () => {
    const folder = await readable();
    chmodSync(folder, 0o700);
    for (const name of ["verify", "export", "compact"]) {
      expect(await as(name, folder)).toEqual({
        ...{ code: 1, stdout: "" },
        stderr: `sansmq: store: ${JSON.stringify(folder)} cannot be read (EACCES)\n`,
      });
    }
  });
});

test("a file instead of a folder is named as such", async () => {
  const [file, lines] = [join(newFolder(), "file"), join(newFolder(), "lines")];
  writeFileSync(file, "");
  writeFileSync(lines, '{"type":"store","format":1}');
  const line = `store: ${JSON.stringify(file)} is not a folder`;
  for (const args of [
    ["verify", file],
    ["import", file, lines],
  ]) {
    expect(await storeCommand(...args)).toEqual({
      code: 1,
      stdout: "",
      stderr: `sansmq: ${line}\n`,
    });
  }
  await expect(openLmdbStore(file)).rejects.toThrow(line);
  expect(existsSync(file)).toBe(true);
});
