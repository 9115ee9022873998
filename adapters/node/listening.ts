/** Opening a server of Node's, of either kind. */
import type { Server as HttpServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import type { ListenAddress } from "../listen.ts";

/** Resolves with where it listens; rejects with Node's error where it cannot. */
export function listening(
  server: Server | HttpServer,
  options: ListenAddress,
): Promise<{ readonly host: string; readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: options.host, port: options.port, backlog: BACKLOG }, () => {
      server.off("error", reject);
      const { address, port, family } = server.address() as AddressInfo;
      resolve({ host: family === "IPv6" ? `[${address}]` : address, port });
    });
  });
}

/** Connections that may wait to be accepted: storms are a burst, not a stream. */
const BACKLOG = 4096;
