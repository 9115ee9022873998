// What `sansmq store export` writes to: a new file, one that is there, a link, a pipe, a device.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run, runSansmq } from "../support/process.ts";
import { newFolder } from "../support/serving.ts";
import { storeCommand as store } from "../support/store-command.ts";

/** A store with one session. */
async function newStore(): Promise<string> {
  const [folder, file] = [join(newFolder(), "store"), join(newFolder(), "lines")];
  writeFileSync(
    file,
    '{"type":"store","format":1}\n{"type":"session","clientId":"c","expirySeconds":60,"ends":null}\n',
  );
  expect((await store("import", folder, file)).code).toBe(0);
  return folder;
}

test("a new file is complete or not there, and readable only by its owner", async () => {
  const [folder, place] = [await newStore(), newFolder()];
  const file = join(place, "lines");
  expect(await store("export", folder, file)).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(readFileSync(file, "utf8")).toBe((await store("export", folder)).stdout);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(place)).toEqual(["lines"]);
});

test("a file that is there keeps its mode, and its links, also one to a file that is not there yet", async () => {
  const [folder, place, links] = [await newStore(), newFolder(), newFolder()];
  const { stdout } = await store("export", folder);
  writeFileSync(join(place, "old"), "before");
  chmodSync(join(place, "old"), 0o640);
  for (const name of ["old", "new"]) {
    const [file, link] = [join(place, name), join(links, name)];
    symlinkSync(file, link);
    expect(await store("export", folder, link)).toEqual({ code: 0, stdout: "", stderr: "" });
    expect([readlinkSync(link), readFileSync(file, "utf8")]).toEqual([file, stdout]);
  }
  expect(statSync(join(place, "old")).mode & 0o777).toBe(0o640);
  expect(readdirSync(place)).toEqual(["new", "old"]);
});

test("an export into a pipe or a device does not replace it by a file", async () => {
  const [folder, fifo] = [await newStore(), join(newFolder(), "fifo")];
  expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
  const reading = run("cat", fifo);
  expect(await runSansmq("store", "export", folder, fifo).finished).toMatchObject({ code: 0 });
  expect((await reading.finished).stdout).toBe((await store("export", folder)).stdout);
  expect(lstatSync(fifo).isFIFO()).toBe(true);
  expect((await store("export", folder, "/dev/null")).code).toBe(0);
  expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
});

test("a file in the folder of the store is refused with exit code 2, also by a link", async () => {
  const [folder, links] = [await newStore(), newFolder()];
  mkdirSync(join(folder, "deep"));
  symlinkSync(folder, join(links, "folder"));
  symlinkSync(join(folder, "data.mdb"), join(links, "file"));
  const before = readFileSync(join(folder, "data.mdb"));
  for (const file of [
    ...[join(folder, "data.mdb"), join(folder, "new"), join(folder, "deep", "new")],
    ...[join(links, "folder", "new"), join(links, "file")],
  ]) {
    const { code, stdout, stderr } = await store("export", folder, file);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^sansmq: file: ".*" .* a file outside the folder of the store\n$/);
  }
  expect(readFileSync(join(folder, "data.mdb"))).toEqual(before);
  expect(readdirSync(join(folder, "deep"))).toEqual([]);
});
