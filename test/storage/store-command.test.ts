// `sansmq store`: looks into a store, copies it, and moves what is in it, also if it is damaged or in use.
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseStoreArguments } from "../../adapters/cli/store/arguments.ts";
import { openLmdbStore } from "../../adapters/storage/folder/lmdb-store.ts";
import { Table } from "../../core/mod.ts";
import { needs } from "../support/needs.ts";
import { concat, connect, disconnect, mqtt5, publish, subscribe } from "../support/packets.ts";
import {
  command,
  type Finished,
  type Running,
  run,
  runSansmq,
  runSansmqOn,
} from "../support/process.ts";
import { describeOn, runtimes } from "../support/runtimes.ts";
import { newFolder, served } from "../support/serving.ts";
import { openSocket } from "../support/socket-client.ts";
import { storeCommand } from "../support/store-command.ts";
import { commit } from "./store-records.ts";

const flags = ["--port", "0", "--no-ws", "--log-level", "error"] as const;

/** Within this process, because each process takes half a second. */
const store = storeCommand;

async function start(folder: string): Promise<{ broker: Running; tcp: string }> {
  return served(runSansmq(...flags, "--store", folder));
}

async function stop({ broker }: { readonly broker: Running }): Promise<void> {
  broker.child.kill("SIGTERM");
  expect((await broker.finished).code).toBe(0);
}

/** Fills a store through a broker: a session with two queued messages, a retained one, and one that is empty. */
async function fill(tcp: string): Promise<void> {
  const reader = await openSocket(tcp);
  const subscribed = [connect({ clientId: "reader", clean: false }), subscribe(1, ["a/+", 1])];
  reader.send(concat(...subscribed, disconnect));
  await reader.takes(2);
  const writer = await openSocket(tcp);
  writer.send(
    concat(
      connect({ level: 5, clientId: "writer" }),
      mqtt5.publish("a/b", "waits", { qos: 1, id: 1, props: { ContentType: "text" } }),
      mqtt5.publish("a/c", Uint8Array.of(0xff), { qos: 1, id: 2 }),
      mqtt5.publish("kept", "stays", { qos: 1, id: 3, retain: true }),
    ),
  );
  await writer.takes(4);
  writer.destroy();
}

/** A new client gets what `fill` left there. */
async function expectFilled(tcp: string): Promise<void> {
  const reader = await openSocket(tcp);
  reader.send(concat(connect({ clientId: "reader", clean: false }), subscribe(2, ["kept", 0])));
  expect(await reader.takes(5)).toEqual([
    "CONNACK present=1 code=0",
    "SUBACK #2 0",
    'PUBLISH a/b "waits" q1 #1',
    'PUBLISH a/c "\ufffd" q1 #2',
    'PUBLISH kept "stays" q0 retain',
  ]);
}

/** A store as after `fill`. */
async function filledFolder(): Promise<string> {
  const [folder, file] = [join(newFolder(), "store"), join(newFolder(), "lines")];
  const text = { type: "message", topic: "a/b", qos: 1, payload: "waits" };
  const lines = [
    { type: "store", format: 1 },
    { type: "session", clientId: "reader", expirySeconds: 3600, ends: null },
    { type: "subscription", clientId: "reader", filter: "a/+", qos: 1 },
    { ...text, number: 1, properties: { ContentType: "text" } },
    { type: "message", number: 2, topic: "a/c", qos: 1, payloadBase64: "/w==" },
    { type: "message", number: 3, topic: "kept", qos: 1, retain: true, payload: "stays" },
    { type: "queued", clientId: "reader", message: 1, qos: 1 },
    { type: "queued", clientId: "reader", message: 2, qos: 1 },
    { type: "retained", topic: "kept", message: 3 },
  ];
  writeFileSync(file, lines.map((line) => JSON.stringify(line)).join("\n"));
  expect((await store("import", folder, file)).code).toBe(0);
  return folder;
}

const sound = [
  ...["sessions       1", "subscriptions  1", "messages       3", "queued         2"],
  ...["in flight      0", "receipts       0", "retained       1", "wills          0", "sound", ""],
].join("\n");

// The versions of Node between these run the same code and the same binary of LMDB.
const someRuntimes = Object.keys(runtimes).filter((name) => !/^Node 2[24]$/.test(name));

describeOn(someRuntimes, (_, [program, ...programFlags]) => {
  const permitted = programFlags.map((flag) => (flag === "--allow-net" ? "--allow-all" : flag));
  const on = (...args: readonly string[]): Promise<Finished> =>
    runSansmqOn([program, ...permitted], "store", ...args).finished;

  test("a store is verified, exported, imported, backed up and compacted", async () => {
    const folder = await filledFolder();
    expect(await on("verify", folder)).toEqual({ code: 0, stdout: sound, stderr: "" });
    const exported = await on("export", folder);
    expect([exported.code, exported.stderr]).toEqual([0, ""]);
    const file = join(newFolder(), "lines");
    writeFileSync(file, exported.stdout);
    const imported = join(newFolder(), "deep", "er");
    expect(await on("import", imported, file)).toEqual({
      ...{ code: 0, stderr: "" },
      stdout: "imported 1 sessions, 1 subscriptions, 3 messages, 2 queued, 1 retained\n",
    });
    const copied = join(newFolder(), "copy");
    expect(await on("backup", imported, copied)).toEqual({
      ...{ code: 0, stdout: `copied 8 records to ${copied}\n`, stderr: "" },
    });
    expect(await on("compact", copied)).toMatchObject({ code: 0, stderr: "" });
    for (const each of [imported, copied]) {
      expect((await store("export", each)).stdout).toBe(exported.stdout);
    }
  });
});

test("a broker goes on from an import and from a backup", async () => {
  const folder = newFolder();
  const serving = await start(folder);
  await fill(serving.tcp);
  await stop(serving);
  const [file, copied, imported] = [newFolder(), newFolder(), newFolder()];
  await store("export", folder, join(file, "lines"));
  await store("import", imported, join(file, "lines"));
  await store("backup", imported, copied);
  await store("compact", copied);
  const { tcp } = await start(copied);
  await expectFilled(tcp);
});

test("the lines of an export are JSON that a person reads", async () => {
  const { stdout } = await store("export", await filledFolder());
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  expect(lines[0]).toEqual({ type: "store", format: 1 });
  expect(lines).toContainEqual({
    ...{
      type: "message",
      number: expect.any(Number) as number,
      topic: "a/b",
      qos: 1,
      retain: false,
    },
    ...{ properties: { ContentType: "text" }, payload: "waits" },
  });
});

describe("beside a broker", () => {
  test("a store is verified, exported and backed up; it is neither compacted nor imported into", async () => {
    const folder = newFolder();
    const serving = await start(folder);
    await fill(serving.tcp);
    expect((await store("verify", folder)).stdout).toBe(sound);
    expect((await store("export", folder)).stdout).toContain('"payload":"waits"');
    const copy = join(newFolder(), "copy");
    expect((await store("backup", folder, copy)).code).toBe(0);
    for (const args of [
      ["compact", folder],
      ["import", folder, "-"],
      ["backup", copy, folder],
    ]) {
      const { code, stderr } = await store(...args);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/no other process uses\n$/)]);
    }
    const other = await start(copy);
    await expectFilled(other.tcp);
    await expectFilled(serving.tcp);
  });

  test("a backup under load has every message that was acknowledged before it began", async () => {
    const folder = newFolder();
    const serving = await start(folder);
    const reader = await openSocket(serving.tcp);
    reader.send(concat(connect({ clientId: "reader", clean: false }), subscribe(1, ["t", 1])));
    await reader.takes(2);
    reader.destroy();
    const writer = await openSocket(serving.tcp);
    writer.send(connect({ clientId: "writer" }));
    await writer.takes(1);
    let acknowledged = 0;
    let isOver = false;
    const load = (async () => {
      for (let id = 1; !isOver; id++) {
        writer.send(publish("t", `${id} ${"x".repeat(500)}`, { qos: 1, id }));
        await writer.takes(1);
        acknowledged = id;
      }
    })();
    for (let round = 0; round < 3; round++) {
      const before = acknowledged;
      const copy = join(newFolder(), "copy");
      expect(await store("backup", folder, copy)).toMatchObject({ code: 0, stderr: "" });
      const { stdout } = await store("export", copy);
      const payloads = Array.from(stdout.matchAll(/"payload":"(\d+) x/g), ([, id]) => Number(id));
      // All of them up to some moment after the beginning.
      expect(payloads.toSorted((a, b) => a - b)).toEqual(payloads.map((_, at) => at + 1));
      expect(payloads.length).toBeGreaterThanOrEqual(before);
      expect((await store("verify", copy)).code).toBe(0);
    }
    isOver = true;
    await load;
  });
});

test("an import is for a new folder or an empty store, all or nothing", async () => {
  const folder = await filledFolder();
  const { stdout } = await store("export", folder);
  const file = join(newFolder(), "lines");
  writeFileSync(file, stdout);
  expect(await store("import", folder, file)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^sansmq: store: .* a new folder, or one with an empty store\n$/,
    ) as string,
  });
  const empty = newFolder();
  await stop(await start(empty));
  // The last line is wrong.
  writeFileSync(file, `${stdout}{"type":"retained","topic":"kept","message":99}\n`);
  const before = readdirSync(empty);
  const faulty = await store("import", empty, file);
  expect(faulty.stderr).toBe(
    `sansmq: line ${stdout.split("\n").length}: message: 99 is not allowed; allowed is the number of a message line before\n`,
  );
  expect([faulty.code, readdirSync(empty)]).toEqual([1, before]);
  writeFileSync(file, stdout);
  expect((await store("import", empty, file)).code).toBe(0);
  expect((await store("export", empty)).stdout).toBe(stdout);
});

test("an import names the line and the fault", async () => {
  const header = '{"type":"store","format":1}';
  const session = '{"type":"session","clientId":"c","expirySeconds":1,"ends":null}';
  const message = '{"type":"message","number":1,"topic":"t","payload":"x"}';
  const retained = '{"type":"retained","topic":"t","message":1}';
  const faults: readonly (readonly [text: string, fault: string | RegExp])[] = [
    ["", /^file: ".*" is empty$/],
    [`${header}\n\n{`, "line 3: invalid JSON"],
    [`${header}\n"\xff"`, "line 2: invalid UTF-8"],
    [session, /^line 1: clientId: unknown name; allowed are type, format$/],
    [
      `${header}\n${message}\n${retained}\n${retained}\n`,
      "line 4: a line before is for the same thing",
    ],
  ];
  for (const [text, fault] of faults) {
    const file = join(newFolder(), "lines");
    writeFileSync(file, text, "latin1");
    const folder = join(newFolder(), "store");
    const { code, stdout, stderr } = await store("import", folder, file);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.replace(/^sansmq: (.*)\n$/, "$1")).toMatch(fault);
    expect(existsSync(folder)).toBe(false);
  }
});

test("an import that is killed at any point leaves all of it or nothing", async () => {
  const [folder, file] = [newFolder(), join(newFolder(), "lines")];
  const lines = Array.from({ length: 5000 }, (_, n) =>
    JSON.stringify({ type: "session", clientId: `c${n}`, expirySeconds: 60, ends: null }),
  );
  writeFileSync(file, ['{"type":"store","format":1}', ...lines].join("\n"));
  const isThere = async (): Promise<boolean> => {
    const { code, stdout, stderr } = await store("verify", folder);
    if (code === 0) expect(stdout).toMatch(/^sessions {7}5000\n/);
    else expect(stderr).toMatch(/allowed is a folder with a store\n$/);
    return code === 0;
  };
  for (let millis = 150; millis < 600 && !(await isThere()); millis += 75) {
    const importing = runSansmq("store", "import", folder, file);
    // At any point: this waits for nothing.
    await new Promise((resolve) => setTimeout(resolve, millis));
    importing.child.kill("SIGKILL");
    await importing.finished;
  }
  if (!(await isThere())) expect((await store("import", folder, file)).code).toBe(0);
  expect(await isThere()).toBe(true);
});

test("an import reads standard input, and leaves out messages that nothing uses", async () => {
  const folder = join(newFolder(), "store");
  const importing = runSansmq("store", "import", folder, "-");
  importing.child.stdin!.end(
    '{"type":"store","format":1}\r\n{"type":"message","number":1,"topic":"t","payload":"x"}',
  );
  expect(await importing.finished).toEqual({
    ...{ code: 0, stdout: "imported nothing\n" },
    stderr: "sansmq: left out 1 messages that no line uses\n",
  });
  expect((await store("verify", folder)).code).toBe(0);
});

describe("a damaged store", () => {
  /** A store with enough records for some pages, and its file. */
  async function large(): Promise<{ folder: string; file: string }> {
    const folder = newFolder();
    const lines = ['{"type":"store","format":1}'];
    for (let n = 1; n <= 500; n++) {
      lines.push(
        JSON.stringify({ type: "message", number: n, topic: `t/${n}`, payload: "x".repeat(100) }),
      );
    }
    for (let n = 1; n <= 500; n++) {
      lines.push(JSON.stringify({ type: "retained", topic: `t/${n}`, message: n }));
    }
    const file = join(newFolder(), "lines");
    writeFileSync(file, lines.join("\n"));
    expect((await store("import", folder, file)).code).toBe(0);
    return { folder, file: join(folder, "data.mdb") };
  }

  const damages: Record<string, (file: string) => void> = {
    "that is cut": (file) => truncateSync(file, statSync(file).size - 6 * 4096),
    "that is cut to a page": (file) => truncateSync(file, 4096),
    "whose first page is noise": (file) => damage(file, 0, 4096),
    "whose both meta pages are noise": (file) => damage(file, 0, 8192),
    "with noise in a page": (file) => damage(file, 5 * 4096, 6 * 4096),
    "that is no store at all": (file) => writeFileSync(file, "hello ".repeat(10_000)),
  };

  test.each(Object.entries(damages))(
    "%s is named by each command, and what is whole is rescued",
    async (_, spoil) => {
      const { folder, file } = await large();
      spoil(file);
      const before = readFileSync(file);
      const verified = await store("verify", folder);
      expect([verified.code, verified.stderr]).toEqual([1, ""]);
      expect(verified.stdout).toMatch(/^damaged: .*\n {2}page \d+ /m);
      const start = await runSansmq(...flags, "--store", folder).finished;
      expect([start.code, start.stdout]).toEqual([1, ""]);
      expect(start.stderr).toMatch(
        /^sansmq: store: \S+data.mdb is damaged: page \d+ .*; (none|\d+) of its records can be read.*; see --store\n$/,
      );
      for (const args of [
        ["compact", folder],
        ["backup", folder, join(newFolder(), "copy")],
      ]) {
        expect(await store(...args)).toMatchObject({
          ...{ code: 1, stdout: "" },
          stderr: expect.stringMatching(
            /^sansmq: store: .* sansmq store verify says what is damaged\n$/,
          ) as string,
        });
      }
      expect(readFileSync(file)).toEqual(before);
      // What can be read makes a sound store.
      const exported = await store("export", folder);
      expect(exported.code).toBe(1);
      expect(exported.stderr).toMatch(/^sansmq: not exported: damaged: /);
      const [rescued, lines] = [newFolder(), join(newFolder(), "lines")];
      writeFileSync(lines, exported.stdout);
      expect((await store("import", rescued, lines)).code).toBe(0);
      expect((await store("verify", rescued)).code).toBe(0);
    },
  );

  test("of a newer version is refused in one line", async () => {
    const folder = await filledFolder();
    const opened = await openLmdbStore(folder);
    await commit(opened, [Table.Session, "x", "\x09"]);
    await opened.close();
    for (const name of ["verify", "export"]) {
      expect(await store(name, folder)).toMatchObject({
        ...{ code: 1, stdout: "" },
        stderr: 'sansmq: store: "format 9" is not allowed; allowed is format 1 or older\n',
      });
    }
  });
});

/** Writes noise. */
function damage(file: string, start: number, end: number): void {
  const bytes = readFileSync(file);
  for (let at = start; at < end; at++) bytes[at] = (at * 7919) >>> 3;
  writeFileSync(file, bytes);
}

describe("a compaction", () => {
  test("gives the space of removed records back", async () => {
    const folder = newFolder();
    // Without a log, because a record that is put and removed within one log never takes space in data.mdb.
    const opened = await openLmdbStore(folder, 0);
    const keys = Array.from({ length: 300 }, (_, n) => `${n}`);
    await commit(opened, ...keys.map((key) => [Table.Message, key, "x".repeat(3000)] as const));
    await commit(opened, ...keys.slice(1).map((key) => [Table.Message, key, null] as const));
    await opened.close();
    const file = join(folder, "data.mdb");
    const before = statSync(file).size;
    const { code, stdout } = await store("compact", folder);
    const after = statSync(file).size;
    expect([code, stdout]).toEqual([0, `${before} bytes before, ${after} bytes now\n`]);
    expect(after).toBeLessThan(before / 10);
  });

  test("that is killed at any point leaves the store", async () => {
    const folder = await filledFolder();
    const { stdout } = await store("export", folder);
    for (let millis = 0; millis < 400; millis += 40) {
      const compacting = runSansmq("store", "compact", folder);
      // At any point: this waits for nothing.
      await new Promise((resolve) => setTimeout(resolve, millis));
      compacting.child.kill("SIGKILL");
      await compacting.finished;
    }
    expect((await store("export", folder)).stdout).toBe(stdout);
    expect((await store("compact", folder)).code).toBe(0);
    expect((await store("export", folder)).stdout).toBe(stdout);
    expect(existsSync(join(folder, ".sansmq-new"))).toBe(false);
  });
});

describe("the arguments are refused for", () => {
  const wrong: Record<string, readonly [args: readonly string[], message: RegExp]> = {
    "no command": [[], /^missing command: verify, export, import, backup, compact$/],
    "an unknown command": [["verfy", "x"], /unknown command 'verfy'.*verify/s],
    "a missing folder": [["verify"], /missing required argument 'folder'/],
    "an argument too many": [["verify", "a", "b"], /too many arguments/],
    "an unknown flag": [["export", "--pretty", "x"], /unknown option '--pretty'/],
    "an import of nothing": [["import", "x"], /^missing file: .*--mosquitto-db/],
    "an import of two things": [
      ["import", "x", "y", "--mosquitto-db", "z"],
      /^import takes a file or --mosquitto-db, and not both$/,
    ],
    "a backup to nowhere": [["backup", "x"], /missing required argument 'to'/],
  };
  test.each(Object.entries(wrong))("%s", (_, [args, message]) => {
    expect(() => parseStoreArguments(args, "0")).toThrow(message);
  });

  test("with exit code 2 and one line", async () => {
    for (const args of [["verfy", "x"], []]) {
      const { code, stdout, stderr } = await runSansmq("store", ...args).finished;
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^sansmq: [^\n]*; see sansmq store --help\n$/);
    }
  });
});

test("every command has its help", async () => {
  const { code, stdout } = await store("--help");
  expect(code).toBe(0);
  for (const name of ["verify", "export", "import", "backup", "compact"]) {
    expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
    const help = await store(name, "--help");
    expect([help.code, help.stdout]).toEqual([0, expect.stringContaining(`sansmq store ${name}`)]);
  }
});

test("one line names a folder without a store, and a file that cannot be read or written", async () => {
  const [empty, folder] = [newFolder(), await filledFolder()];
  const faults: readonly (readonly [args: readonly string[], RegExp])[] = [
    [["verify", empty], /^sansmq: store: ".*" is not allowed; allowed is a folder with a store\n$/],
    [["export", join(empty, "none")], /^sansmq: store: .* a folder with a store\n$/],
    [["export", folder, join(empty, "none", "file")], /^sansmq: file: .* can be written \(ENOENT/],
    [["import", empty, join(empty, "none")], /^sansmq: file: .* a readable file \(ENOENT/],
    [["import", empty, empty], /^sansmq: file: .* a readable file \(it is a folder\)\n$/],
    [["backup", folder, folder], /^sansmq: to: .* a folder that no other process uses\n$/],
  ];
  for (const [args, fault] of faults) {
    const { code, stdout, stderr } = await store(...args);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(fault);
  }
});

test("a terminal shows the progress, anything else does not", needs("script"), async () => {
  const folder = newFolder();
  const opened = await openLmdbStore(folder);
  for (let n = 0; n < 20; n++) {
    const keys = Array.from({ length: 10_000 }, (_, k) => `${n} ${k}`);
    await commit(opened, ...keys.map((key) => [Table.Retained, key, "\x01"] as const));
  }
  await opened.close();
  const plain = await runSansmq("store", "verify", folder).finished;
  expect(plain.stderr).toBe("");
  const shown = await run(
    "script",
    "-qec",
    `${process.execPath} ${command} store verify ${folder}`,
    "/dev/null",
  ).finished;
  expect(shown.stdout).toMatch(/\rverify \[#*\.*\] \d+% \d+ s/);
});
