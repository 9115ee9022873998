/** The command's log on every runtime: it is complete when the process ends, and a slow reader delays no client. */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { needs } from "../support/needs.ts";
import { concat, connect, pingreq, publish, subscribe } from "../support/packets.ts";
import { run, runSansmqOn } from "../support/process.ts";
import { describeOn, runtimes } from "../support/runtimes.ts";
import { openSocket } from "../support/socket-client.ts";

describeOn(Object.keys(runtimes), (_, runtime) => {
  const [program, ...flags] = runtime;
  const withoutLeave = flags.filter((flag) => !flag.startsWith("--allow"));
  const script = fileURLToPath(new URL("log-ends.mjs", import.meta.url));

  test.each(["throw", "reject", "exit"])(
    "the log is complete, with the lines of the last turn, if the process ends by: %s",
    async (manner) => {
      const { code, stderr } = await run(program, ...withoutLeave, script, manner).finished;
      const lines = stderr.split("\n").filter((line) => line.startsWith('{"@timestamp"'));
      const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const numbers = Array.from({ length: 2000 }, (_, n) => n + 1);
      expect(told.slice(0, 2000).map(({ n }) => n)).toEqual(numbers);
      if (manner === "exit") {
        expect([code, told.length]).toEqual([3, 2001]);
        expect(told.at(-1)).toMatchObject({ message: "told at the end" });
        return;
      }
      expect(code).toBe(1);
      expect(told.slice(2000)).toMatchObject([
        { level: "INFO", message: "told at the end" },
        {
          level: "FATAL",
          message: "uncaught exception",
          error: { name: "Error", message: "on request" },
        },
      ]);
    },
  );

  test("a log reader that stalls delays no client, and learns the number of lost lines when it resumes", async () => {
    const broker = runSansmqOn(runtime, "--port", "0", "--no-ws", "--log-level", "debug");
    const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+)/);
    const stderr = broker.child.stderr!;
    stderr.pause();
    const client = await openSocket(tcp!);
    client.send(connect({ clientId: "c" }));
    const filters = Array.from({ length: 1000 }, (_, n) => [`${n}/${"x".repeat(900)}`, 0] as const);
    // Each connection causes a mebibyte of log lines.
    for (let n = 1; n <= 5; n++) client.send(subscribe(n, ...filters));
    client.send(pingreq);
    expect((await client.takes(7)).at(-1)).toBe("PINGRESP");
    stderr.resume();
    const lost = () =>
      Array.from(broker.stderr.matchAll(/log lines were lost.*"count":(\d+)/g), ([, count]) =>
        Number(count),
      ).reduce((a, b) => a + b, 0);
    const written = () =>
      broker.stderr.match(/"message":"(serving|connected|subscribed)"/g)?.length ?? 0;
    while (written() + lost() < 5002) await once(stderr, "data");
    expect(lost()).toBeGreaterThan(0);
    expect(written() + lost()).toBe(5002);
  });

  test("a log reader that stalls does not delay the end of the process", async () => {
    const broker = runSansmqOn(runtime, "--port", "0", "--no-ws", "--log-level", "debug");
    const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+)/);
    broker.child.stderr!.pause();
    const client = await openSocket(tcp!);
    client.send(connect({ clientId: "c" }));
    const filters = Array.from({ length: 1000 }, (_, n) => [`${n}/${"x".repeat(900)}`, 0] as const);
    client.send(concat(subscribe(1, ...filters), subscribe(2, ...filters), pingreq));
    await client.takes(4);
    const exited = new Promise((resolve) => broker.child.once("exit", resolve));
    broker.child.kill("SIGTERM");
    expect(await exited).toBe(0);
    broker.child.stderr!.resume();
  });

  test(
    "stops within two seconds although neither the client nor the log is read",
    needs("Python 3", "Linux"),
    async () => {
      const broker = runSansmqOn(["python3", "-c", UNREAD_PIPE, ...runtime], ...listening);
      const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+)/);
      const [reader, publisher] = [await openSocket(tcp!), await openSocket(tcp!)];
      reader.send(concat(connect({ clientId: "r" }), subscribe(1, ["a", 0])));
      await reader.takes(2);
      reader.pause();
      const filters = Array.from(
        { length: 100 },
        (_, n) => [`${n}/${"x".repeat(900)}`, 0] as const,
      );
      publisher.send(concat(connect({ clientId: "p" }), subscribe(1, ...filters)));
      for (let n = 0; n < 30; n++) publisher.send(publish("a", new Uint8Array(1_000_000)));
      publisher.send(pingreq);
      await publisher.takes(3);
      const started = performance.now();
      broker.child.kill("SIGTERM");
      expect((await broker.finished).code).toBe(0);
      expect(performance.now() - started).toBeLessThan(2000);
    },
  );

  test(
    "a terminal without a reader delays neither clients nor the end of the process",
    needs("Python 3", "Linux"),
    async () => {
      const broker = runSansmqOn(["python3", "-c", UNREAD_TERMINAL, ...runtime], ...listening);
      const [, tcp] = await broker.says(/^sansmq listening (tcp:\S+)/);
      const client = await openSocket(tcp!);
      client.send(connect({ clientId: "c" }));
      const filters = Array.from(
        { length: 100 },
        (_, n) => [`${n}/${"x".repeat(900)}`, 0] as const,
      );
      client.send(concat(subscribe(1, ...filters), subscribe(2, ...filters), pingreq));
      await client.takes(4);
      const started = performance.now();
      broker.child.kill("SIGTERM");
      expect((await broker.finished).code).toBe(0);
      expect(performance.now() - started).toBeLessThan(2000);
    },
  );

  test.each([
    ["a terminal", "throw"],
    ["a terminal", "reject"],
    ["a pipe", "throw"],
    ["a pipe", "reject"],
  ] as const)(
    "%s without a reader does not delay the end of the process by: %s",
    needs("Python 3", "Linux"),
    async (where, manner) => {
      const unread = where === "a pipe" ? UNREAD_PIPE : UNREAD_TERMINAL;
      const { code } = await run("python3", "-c", unread, ...runtime, script, manner).finished;
      expect(code).toBe(1);
    },
  );

  test("a terminal with a reader gets every line", needs("Python 3", "Linux"), async () => {
    const broker = runSansmqOn(["python3", "-c", READ_TERMINAL, ...runtime], ...listening);
    const [, tcp] = await broker.says(/sansmq listening (tcp:\S+)/);
    const client = await openSocket(tcp!);
    client.send(connect({ clientId: "c" }));
    const filters = Array.from({ length: 400 }, (_, n) => [`${n}/${"x".repeat(900)}`, 0] as const);
    client.send(concat(subscribe(1, ...filters), pingreq));
    await client.takes(3);
    const written = () => broker.stdout.match(/"message":"subscribed"/g)?.length ?? 0;
    while (written() < 400) await once(broker.child.stdout!, "data");
    expect(broker.stdout).not.toContain("log lines were lost");
  });
});

const listening = ["--port", "0", "--no-ws", "--log-level", "debug"] as const;
/** Python code that runs a command whose standard error is a terminal without a reader. */
const UNREAD_TERMINAL = `
import os, pty, sys
reader, terminal = pty.openpty()
os.set_inheritable(reader, True)
os.dup2(terminal, 2)
os.execvp(sys.argv[1], sys.argv[1:])
`;
/** The same with a pipe. */
const UNREAD_PIPE = `
import os, sys
reader, writer = os.pipe()
os.set_inheritable(reader, True)
os.dup2(writer, 2)
os.execvp(sys.argv[1], sys.argv[1:])
`;
/** Python code that runs a command in a terminal, and copies the terminal's output to standard output. */
const READ_TERMINAL = `
import pty, sys
pty.spawn(sys.argv[1:])
`;
