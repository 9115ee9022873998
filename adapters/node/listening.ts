/** Opens a server of Node, for TCP or HTTP. */
import type { Server as HttpServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import type { ListenAddress } from "../listen.ts";
import { authority } from "../peer-address.ts";

/** Resolves with the authority and the port of the server's address. Rejects with Node's error if it cannot listen. */
export function listening(
  server: Server | HttpServer,
  { host, port }: ListenAddress,
): Promise<{ readonly at: string; readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off("error", reject);
      const address = server.address() as AddressInfo;
      resolve({ at: authority(address.address, address.port), port: address.port });
    });
  });
}

/** Maximum connections that wait to be accepted: many clients may reconnect at the same time. */
const BACKLOG = 4096;
