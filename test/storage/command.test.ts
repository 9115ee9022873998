// The command keeps its state in a folder by default, on every runtime. One line names the problem if the
// folder cannot be used.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { concat, connect, disconnect, publish, subscribe } from "../support/packets.ts";
import { command, type Running, run, runSansmq, runSansmqOn } from "../support/process.ts";
import { describeOn, runtimes } from "../support/runtimes.ts";
import { openSocket } from "../support/socket-client.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "sansmq-store-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const anyPort = ["--port", "0", "--no-ws"];

async function addressOf(broker: Running): Promise<string> {
  const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+).*\n/);
  return tcp!;
}

describeOn(Object.keys(runtimes), (_, [program, ...flags]) => {
  const permitted = flags.map((flag) => (flag === "--allow-net" ? "--allow-all" : flag));

  test("a kill loses neither retained nor queued messages nor subscriptions", async () => {
    const path = folder();
    const start = (): Running =>
      runSansmqOn([program, ...permitted], ...anyPort, "--store", path, "--log-level", "error");
    const first = start();
    const reader = await openSocket(await addressOf(first));
    const subscribed = [connect({ clientId: "reader", clean: false }), subscribe(1, ["a/+", 1])];
    reader.send(concat(...subscribed, disconnect));
    await reader.takes(2);
    const writer = await openSocket(await addressOf(first));
    writer.send(
      concat(
        connect({ clientId: "writer" }),
        publish("a/b", "waits", { qos: 1, id: 1 }),
        publish("kept", "stays", { qos: 1, id: 2, retain: true }),
      ),
    );
    expect(await writer.takes(3)).toEqual(["CONNACK present=0 code=0", "PUBACK #1", "PUBACK #2"]);
    first.child.kill("SIGKILL");
    await first.finished;

    const second = start();
    const again = await openSocket(await addressOf(second));
    again.send(concat(connect({ clientId: "reader", clean: false }), subscribe(2, ["kept", 0])));
    expect(await again.takes(4)).toEqual([
      "CONNACK present=1 code=0",
      "SUBACK #2 0",
      'PUBLISH a/b "waits" q1 #1',
      'PUBLISH kept "stays" q0 retain',
    ]);
    second.child.kill("SIGTERM");
    expect((await second.finished).code).toBe(0);
  });
});

test("the store is in the state folder of the user by default, and the line at start says so", async () => {
  const state = folder();
  const broker = run("env", `XDG_STATE_HOME=${state}`, process.execPath, command, ...anyPort);
  const [, where] = await broker.says(/ store (.*)\n/);
  expect(where).toBe(join(state, "sansmq"));
});

test("STATE_DIRECTORY comes before the state folder, and --store before both", async () => {
  const [state, store] = [folder(), folder()];
  const env = [`STATE_DIRECTORY=${state}:/other`, process.execPath, command, ...anyPort];
  const broker = run("env", ...env);
  expect((await broker.says(/ store (.*)\n/))[1]).toBe(state);
  const other = run("env", ...env, "--store", store);
  expect((await other.says(/ store (.*)\n/))[1]).toBe(store);
});

test("--store memory keeps nothing", async () => {
  const broker = runSansmq(...anyPort, "--store", "memory");
  await broker.says(/^sansmq listening \S+.* store memory\n/);
});

test("a second process on a folder is refused with one line", async () => {
  const path = folder();
  await addressOf(runSansmq(...anyPort, "--store", path));
  const { code, stdout, stderr } = await runSansmq(...anyPort, "--store", path).finished;
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toBe(
    `sansmq: store: "${path}" is not allowed; allowed is a folder that no other process uses; see --store\n`,
  );
});

test("one line names the problem of a folder that cannot be used", async () => {
  const file = join(folder(), "file");
  writeFileSync(file, "");
  for (const path of [join(file, "below"), "/proc/none"]) {
    const { code, stdout, stderr } = await runSansmq(...anyPort, "--store", path).finished;
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^sansmq: store: .* allowed is a folder that can be written \(E\w+\); see --store\n$/,
    );
  }
});

describeOn(["Deno"], (_, deno) => {
  test("without the permissions for a store, one line names them", async () => {
    const { code, stdout, stderr } = await run(...deno, command, ...anyPort).finished;
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^sansmq: store: needs --allow-env .* of Deno, or choose --store memory\n$/,
    );
  });
});
