/** Listeners of a broker, apart from it: one that listens nowhere is bundled without. */
import type { Limits } from "../core/mod.ts";
import { ConfigError } from "../core/mod.ts";
import type {
  BrokerOptions,
  BrokerServer,
  Listener,
  ListenOptions,
  Runtime,
  WebSocketOptions,
} from "./broker-server.ts";
import { checkObject, checkText, checkWhole } from "./checks.ts";
import type { Driver } from "./driver.ts";

/** A runtime that has sockets. */
export interface ListeningRuntime extends Runtime {
  listenTcp(driver: Driver, options: Required<ListenOptions>): Promise<Listener>;
  listenWebSocket(
    driver: Driver,
    options: Required<WebSocketOptions>,
    limits: Limits,
  ): Promise<Listener>;
}

/**
 * Makes a broker and opens its listeners; rejects where one cannot be, and closes those that were. What can be
 * told of the options before is: a broker that is made has a recording, and time that keeps a process there.
 */
export async function listen<Server extends BrokerServer>(
  runtime: ListeningRuntime,
  options: BrokerOptions,
  make: () => Server,
): Promise<Server> {
  checkObject("options", options);
  const { tcp = {}, ws = false } = options;
  const listeners = Object.entries({ tcp, ws }).filter(([, where]) => where !== false);
  for (const [field, where] of listeners) checkListenOptions(field, where as WebSocketOptions);
  const server = make();
  try {
    for (const [, where] of listeners) checkExposure(server, where as WebSocketOptions);
    if (tcp !== false) {
      const where = { host: tcp.host ?? LOOPBACK, port: tcp.port ?? 1883 };
      await server.serve((driver) => at(where, runtime.listenTcp(driver, where)));
    }
    if (ws !== false) {
      const { host = LOOPBACK, port = 8083, path = "/mqtt" } = ws;
      const where = { host, port, path };
      const open = (driver: Driver, limits: Limits): Promise<Listener> =>
        at(where, runtime.listenWebSocket(driver, where, limits));
      await server.serve(open);
    }
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** Where it cannot be opened, the runtime's error says where, and by its code why: not all do. */
async function at(
  { host, port }: Required<ListenOptions>,
  listener: Promise<Listener>,
): Promise<Listener> {
  try {
    return await listener;
  } catch (error) {
    if (error instanceof Error) {
      const { code } = error as { readonly code?: unknown };
      for (const told of [code, `${host}:${port}`]) {
        if (typeof told === "string" && !error.message.includes(told))
          error.message = `${told}: ${error.message}`;
      }
    }
    throw error;
  }
}

/** Whether clients may be served at this address of the machine; none: at no address of a network. */
export function mayServe(server: BrokerServer, host: string | undefined): boolean {
  return !server.isOpenUnasked || host === undefined || isLoopback(host);
}

function checkListenOptions(field: string, where: WebSocketOptions): void {
  checkObject(field, where);
  const { host = LOOPBACK, port = 0, path = "/" } = where;
  checkText(`${field}.host`, host);
  checkWhole(`${field}.port`, port, 0, 65_535);
  checkPath(`${field}.path`, path);
}

export function checkPath(field: string, path: unknown): void {
  if (typeof path === "string" && path.startsWith("/")) return;
  throw new ConfigError(field, path, "a path that begins with /");
}

function checkExposure(server: BrokerServer, { host = LOOPBACK }: ListenOptions): void {
  if (mayServe(server, host)) return;
  const allowed = "a loopback address, or allowAnonymous, or users";
  throw new ConfigError("host", host, allowed);
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(::ffff:)?127(\.\d+){3}$/.test(host);
}

const LOOPBACK = "127.0.0.1";
