// A disk that takes no more, on the real thing: what needs the store waits, everything else goes on, and
// with room again the command goes on without a restart. Nothing that was acknowledged is lost.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { needs } from "../support/needs.ts";
import { connect, mqtt5, pingreq, puback, publish, subscribe } from "../support/packets.ts";
import { command, type Running, run } from "../support/process.ts";
import { describeOn } from "../support/runtimes.ts";
import type { SocketClient } from "../support/socket-client.ts";
import { openSocket } from "../support/socket-client.ts";

/** A folder for a store, on a disk that can be made full and empty again. */
interface SmallDisk {
  readonly folder: string;
  /** The start of the command line. */
  readonly prefix: readonly string[];
  /** Gives the disk room. */
  makeRoom(broker: Running): void;
}

/** A file system of 2 MiB in memory, a part of it taken by a file. */
function tmpfs(takenBytes = 1_000_000): SmallDisk {
  const path = newFolder();
  const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", path]);
  expect(isMounted.status).toBe(0);
  onTestFinished(() => void spawnSync("umount", ["-l", path]));
  const ballast = join(path, "ballast");
  writeFileSync(ballast, new Uint8Array(takenBytes));
  mkdirSync(join(path, "store"));
  return { folder: join(path, "store"), prefix: [], makeRoom: () => unlinkSync(ballast) };
}

/** A limit for the size of files, which the system raises for the running process. */
function fileSizeLimit(): SmallDisk {
  return {
    folder: newFolder(),
    prefix: ["prlimit", "--fsize=400000:unlimited"],
    makeRoom: ({ child }) => {
      expect(spawnSync("prlimit", ["--pid", `${child.pid}`, "--fsize=unlimited"]).status).toBe(0);
    },
  };
}

describeOn(
  ["Node 20", "Bun", "Deno"],
  (_, runtime) => {
    test("a full file system: goes on when there is room", { timeout: 60_000 }, () =>
      fillsAndGoesOn(tmpfs(), runtime),
    );
  },
  "mounting",
);

describe("on Node", needs("prlimit"), () => {
  test(
    "the largest size of a file is reached: goes on when it is raised",
    { timeout: 60_000 },
    () => fillsAndGoesOn(fileSizeLimit(), [process.execPath]),
  );

  test("a stop says how many messages that were acknowledged on receipt are lost", async () => {
    const { folder, prefix } = fileSizeLimit();
    const flags = ["--port", "0", "--no-ws", "--store", folder, "--durability", "#=received"];
    const start = (...before: readonly string[]): Running => {
      const [program, ...args] = [...before, process.execPath, command, ...flags];
      return run(program!, ...args);
    };
    const broker = start(...prefix);
    const writer = await openSocket(await addressOf(broker));
    writer.send(connect({ clientId: "writer" }));
    await writer.takes(1);
    const isFull = broker.says(/"message":"the store is full"/).then(() => true);
    let acknowledged = 0;
    do {
      const id = acknowledged + 1;
      writer.send(publish(`t/${id}`, "x".repeat(10_000), { qos: 1, id, retain: true }));
      expect(await writer.takes(1)).toEqual([`PUBACK #${id}`]);
      acknowledged = id;
    } while (!(await Promise.race([isFull, Promise.resolve(false)])));
    broker.child.kill("SIGTERM");
    const { code, stderr } = await broker.finished;
    expect(code).toBe(0);
    const lines = stderr.match(/.*acknowledged on receipt could not be stored.*/g)!;
    expect(lines).toHaveLength(1);
    const { level, count } = JSON.parse(lines[0]!) as { level: string; count: number };
    expect(level.toLowerCase()).toBe("error");
    expect(count).toBeGreaterThan(0);

    const again = start();
    const [, stored] = await again.says(/"message":"recovered".*"retainedRecords":(\d+)/);
    expect(Number(stored) + count).toBe(acknowledged);
    const stopped = again.finished;
    again.child.kill("SIGTERM");
    expect((await stopped).stderr).not.toContain("could not be stored");
  });
});

describe("with faults that strace injects", needs("strace"), () => {
  /** The command on a store whose syncs behave as `fault` says. */
  async function injected(fault: string) {
    const inject = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    const flags = ["--port", "0", "--no-ws", "--store", newFolder()];
    const strace = ["strace", ...inject, "-e", `inject=fdatasync:${fault}`] as const;
    const [program, ...args] = [...strace, process.execPath, command, ...flags];
    const broker = run(program!, ...args);
    const address = await addressOf(broker);
    const open = async (fields: Parameters<typeof connect>[0]): Promise<SocketClient> => {
      const client = await openSocket(address);
      client.send(connect(fields));
      await client.takes(1);
      return client;
    };
    return { broker, open };
  }

  test("a sync that fails ends the command with 1: clients get 0x8B, and no acknowledgement", async () => {
    const { broker, open } = await injected("error=EIO");
    const five = await open({ level: 5, clientId: "five" });
    const writer = await open({ level: 5, clientId: "writer" });
    writer.send(mqtt5.publish("t", "x", { qos: 1, id: 1, retain: true }));
    expect((await five.takes(1))[0]).toMatch(/^DISCONNECT ServerShuttingDown/);
    expect((await writer.takes(1))[0]).toMatch(/^DISCONNECT ServerShuttingDown/);
    const { code, stderr } = await broker.finished;
    expect(code).toBe(1);
    expect(stderr).toMatch(/"message":"the store failed".*i\/o error/);
    expect(stderr).not.toMatch(/the store is full/);
  });

  test("while a sync takes seconds, only the clients whose packets need it wait", async () => {
    const { open } = await injected("delay_enter=2000000");
    const writer = await open({ clientId: "writer" });
    const other = await open({ clientId: "other" });
    const began = performance.now();
    writer.send(publish("t", "x", { qos: 1, id: 1, retain: true }));
    for (let id = 1; id <= 20; id++) {
      other.send(publish("live", "x", { qos: 1, id }));
      expect(await other.takes(1)).toEqual([`PUBACK #${id}`]);
    }
    expect(writer.waiting).toEqual([]);
    expect(await writer.takes(1)).toEqual(["PUBACK #1"]);
    expect(performance.now() - began).toBeGreaterThan(1900);
  });
});

describe("a start on a disk without room", needs("mounting"), () => {
  // LMDB would end the process at each of these: by its lock file, and by the first pages of its file.
  test.each([0, 20_480])("ends with 1 and one line (%i bytes are free)", async (free) => {
    const { folder } = tmpfs(2_097_152 - free);
    const flags = ["--port", "0", "--no-ws", "--store", folder];
    for (let start = 1; start <= 2; start++) {
      const { code, stdout, stderr } = await run(process.execPath, command, ...flags).finished;
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(/^sansmq: store: cannot be opened: ENOSPC: [^\n]*\n$/);
    }
  });
});

async function fillsAndGoesOn(disk: SmallDisk, runtime: readonly string[]): Promise<void> {
  const { folder, prefix, makeRoom } = disk;
  const permitted = runtime.map((flag) => (flag === "--allow-net" ? "--allow-all" : flag));
  const flags = ["--port", "0", "--no-ws", "--store", folder, "--durability", "fast/#=received"];
  const start = (before: readonly string[]): Running => {
    const [program, ...args] = [...before, ...permitted, command, ...flags];
    return run(program!, ...args);
  };
  const broker = start(prefix);
  const address = await addressOf(broker);
  const open = async (fields: Parameters<typeof connect>[0]): Promise<SocketClient> => {
    const client = await openSocket(address);
    client.send(connect(fields));
    return client;
  };
  const reader = await open({ clientId: "reader", clean: false });
  reader.send(subscribe(1, ["t/#", 1], ["fast/#", 1]));
  await reader.takes(2);
  reader.destroy();
  const watcher = await open({ clientId: "watcher" });
  await watcher.takes(1);

  // Messages of one client until the acknowledgements stop.
  const writer = await open({ clientId: "writer" });
  await writer.takes(1);
  let sent = 0;
  let acknowledged = 0;
  const isFull = broker.says(/"message":"the store is full".*/).then(() => true);
  for (let isOver = false; !isOver; ) {
    writer.send(publish(`t/${++sent}`, "x".repeat(10_000), { qos: 1, id: sent }));
    const reply = writer.takes(1);
    isOver = await Promise.race([isFull, reply.then(() => false)]);
    if (isOver) break;
    expect(await reply).toEqual([`PUBACK #${sent}`]);
    acknowledged = sent;
  }
  expect(acknowledged).toBeGreaterThan(5);
  expect(sent).toBe(acknowledged + 1);

  // Everything that needs no store goes on; what needs it is refused.
  watcher.send(subscribe(1, ["live", 1]));
  expect(await watcher.takes(1)).toEqual(["SUBACK #1 1"]);
  const other = await open({ clientId: "other" });
  other.send(publish("live", "at QoS 0"));
  other.send(publish("live", "at QoS 1", { qos: 1, id: 1 }));
  other.send(publish("fast/a", "in memory", { qos: 1, id: 2 }));
  expect(await other.takes(3)).toEqual(["CONNACK present=0 code=0", "PUBACK #1", "PUBACK #2"]);
  expect(await watcher.takes(2)).toEqual([
    'PUBLISH live "at QoS 0" q0',
    'PUBLISH live "at QoS 1" q1 #1',
  ]);
  watcher.send(puback(1));
  const five = { level: 5, clientId: "five", props: { SessionExpiryInterval: 100 } } as const;
  expect((await (await open(five)).takes(1))[0]).toMatch(/^CONNACK present=0 QuotaExceeded/);
  const four = await open({ clientId: "four", clean: false });
  expect(await four.takes(1)).toEqual(["CONNACK present=0 code=3"]);
  other.send(pingreq);
  expect(await other.takes(1)).toEqual(["PINGRESP"]);
  expect(writer.waiting).toEqual([]);

  makeRoom(broker);
  await expect
    .poll(() => /"message":"the store has room again".*"fullMillis":\d/.test(broker.stderr), waits)
    .toBe(true);
  for (let n = 0; n < 5; n++) {
    writer.send(publish(`t/${++sent}`, "more", { qos: 1, id: sent }));
  }
  const kept = await open({ level: 5, clientId: "five", props: { SessionExpiryInterval: 100 } });
  expect((await kept.takes(1))[0]).toMatch(/^CONNACK present=0(?! code)/);
  await expect.poll(() => writer.waiting.at(-1), waits).toBe(`PUBACK #${sent}`);
  expect(broker.stderr.match(/"message":"the store is full"/g)).toHaveLength(1);
  broker.child.kill("SIGKILL");
  await broker.finished;

  const again = start([]);
  const resumed = await openSocket(await addressOf(again));
  resumed.send(connect({ clientId: "reader", clean: false }));
  const [connack] = await resumed.takes(1);
  expect(connack).toBe("CONNACK present=1 code=0");
  const topics: string[] = [];
  for (let id = 1; id <= sent + 1; id++) {
    const [packet] = await resumed.takes(1);
    topics.push(packet!.split(" ")[1]!);
    resumed.send(puback(id));
  }
  const all = Array.from({ length: sent }, (_, n) => `t/${n + 1}`);
  expect(topics.filter((topic) => topic !== "fast/a")).toEqual(all);
  expect(topics).toContain("fast/a");
}

const waits = { timeout: 20_000 };

async function addressOf(broker: Running): Promise<string> {
  return (await broker.says(/^sansmq listening (tcp:\S+).*\n/))[1]!;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-full-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
