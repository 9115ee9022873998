/** The command on every runtime when file descriptors run out. Linux's /proc tells how many are in use. */
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { concat, connect, publish, subscribe } from "../support/packets.ts";
import { runSansmqOn } from "../support/process.ts";
import { describeOn, runtimes } from "../support/runtimes.ts";
import { openRaw, openSocket } from "../support/socket-client.ts";

const tests = (name: string, runtime: readonly [string, ...string[]]): void => {
  const serving = async (transport: "tcp" | "ws") => {
    // The hard limit too, because Bun and Deno raise the soft limit to it.
    const limited = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', `${OPEN_FILES_MAX}`] as const;
    // The surplus connections end when the test closes them, not because they send no CONNECT.
    const flags = ["--port", "0", "--ws-port", "0", "--max-connect-millis", "60000"];
    const broker = runSansmqOn([...limited, ...runtime], ...flags);
    const [, tcp, ws] = await broker.says(/^sansmq listening (tcp:\S+) (ws:\S+).*\n/);
    const address = transport === "tcp" ? tcp! : ws!;
    const connected = async (clientId: string) => {
      const client = await openSocket(address);
      client.send(connect({ clientId }));
      expect(await client.takes(1)).toEqual(["CONNACK present=0 code=0"]);
      return client;
    };
    const [reader, publisher] = [await connected("reader"), await connected("publisher")];
    reader.send(subscribe(1, ["a", 1]));
    await reader.takes(1);
    let count = 0;
    const exchange = async (): Promise<void> => {
      publisher.send(publish("a", `${++count}`));
      expect(await reader.takes(1)).toEqual([`PUBLISH a "${count}" q0`]);
    };
    /** Inherited descriptors may be above the limit. */
    const descriptors = (): number =>
      readdirSync(`/proc/${broker.child.pid}/fd`).filter((fd) => Number(fd) < OPEN_FILES_MAX)
        .length;
    /** Opens more connections than descriptors, and resolves when all descriptors are in use. */
    const exhausted = async () => {
      const surplus = Array.from({ length: OPEN_FILES_MAX + 20 }, () => openRaw(address));
      for (const socket of surplus) {
        socket.on("error", () => {});
        socket.resume().on("end", () => socket.end());
      }
      while (descriptors() < OPEN_FILES_MAX) await exchange();
      return surplus;
    };
    return { broker, connected, exchange, descriptors, exhausted };
  };

  test.each(["tcp", "ws"] as const)(
    "connected clients are served over %s while descriptors run out, and new clients when descriptors are free again",
    async (transport) => {
      const { broker, connected, exchange, descriptors, exhausted } = await serving(transport);
      const surplus = await exhausted();
      const early = connected("early").then(
        () => "served",
        () => "turned away",
      );
      for (let n = 0; n < 20; n++) await exchange();
      expect(descriptors()).toBe(OPEN_FILES_MAX);
      for (const socket of surplus) socket.destroy();
      while (descriptors() > OPEN_FILES_MAX / 2) await exchange();
      // Node closes a connection without a descriptor; on the other runtimes it waits for one.
      expect(await early).toBe(name.startsWith("Node") ? "turned away" : "served");
      const newcomer = await connected("newcomer");
      newcomer.send(concat(subscribe(1, ["b", 1]), publish("b", "x")));
      expect(await newcomer.takes(2)).toEqual(["SUBACK #1 1", 'PUBLISH b "x" q0']);
      await exchange();
      broker.child.kill("SIGTERM");
      const { code, stderr } = await broker.finished;
      expect(code, stderr).toBe(0);
    },
  );

  test("SIGTERM ends the command regularly when no file descriptor is left", async () => {
    const { broker, exhausted } = await serving("tcp");
    await exhausted();
    broker.child.kill("SIGTERM");
    const { code, stderr } = await broker.finished;
    expect(stderr).toContain('"message":"stopped"');
    expect(code).toBe(0);
  });
};

describeOn(Object.keys(runtimes), tests, "Linux");

/** Every runtime starts with less than half of these descriptors. */
const OPEN_FILES_MAX = 100;
