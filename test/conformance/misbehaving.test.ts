/** The suite against servers that are not brokers: cases fail, and the run continues. */
import { createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { cases } from "./cases.ts";
import { networkTarget } from "./network-target.ts";
import { runCases } from "./runner.ts";

/** Starts a server that handles every connection with `handle`. Returns its address. */
async function serve(handle: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    handle(socket);
  });
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** Sends `bytes` again and again, as fast as they are taken. */
function flood(socket: Socket, bytes: Uint8Array): void {
  socket.resume();
  const write = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on("drain", write);
  write();
}

const CONNACK = Uint8Array.of(0x20, 3, 0, 0, 0);
const servers: Readonly<Record<string, (socket: Socket) => void>> = {
  "closes at once": (socket) => socket.destroy(),
  "sends an unreadable packet": (socket) => {
    socket.on("data", () => socket.write(Uint8Array.of(0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 1)));
  },
  "echoes every packet": (socket) => {
    socket.once("data", () => {
      socket.write(CONNACK);
      socket.on("data", (bytes) => socket.write(bytes));
    });
  },
  "sends an endless stream of packets": (socket) => {
    socket.write(CONNACK);
    flood(
      socket,
      new Uint8Array(65_536).map((_, index) => (index % 2 === 0 ? 0xd0 : 0)),
    );
  },
  "sends an endless packet": (socket) => {
    socket.write(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f));
    flood(socket, new Uint8Array(65_536));
  },
};

test.each(Object.entries(servers))("every case ends if the server %s", async (_, handle) => {
  const url = `mqtt://${await serve(handle)}`;
  const some = cases.filter(({ name }) => /MQTT-3\.(1\.4|3\.4|8)/.test(name));
  const results = await runCases(networkTarget({ url, user: null }), { cases: some });
  expect(results).toHaveLength(some.length);
  // Cases that expect only the end of the connection may pass.
  expect(results.filter(({ verdict }) => verdict === "failed").length).toBeGreaterThan(10);
});

test("a connection that does not open in time is an error", async () => {
  const target = networkTarget({ url: `ws://${await serve(() => {})}/`, user: null });
  await expect(target.connect()).rejects.toThrow("timed out");
});
