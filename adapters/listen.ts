/** Opens the listeners of a broker. A separate file, so that a bundle of a broker without listeners leaves it out. */
import type { Limits } from "../core/mod.ts";
import { ConfigError } from "../core/mod.ts";
import type { BrokerOptions, InnerOptions, WebSocketOptions } from "./broker-options.ts";
import { checkBrokerOptions, innerOptions, tcpNames, webSocketNames } from "./broker-options.ts";
import type { BrokerServer, Listener } from "./broker-server.ts";
import { checkWhole } from "./checks.ts";
import type { Driver } from "./driver.ts";
import type { Runtime } from "./host.ts";
import { type Host, hostsOf, isAbsent, isLoopback, LOCALHOST } from "./hosts.ts";
import { checkOptions } from "./options.ts";
import { authority } from "./peer-address.ts";
import type { Prepared } from "./prepare.ts";
import { prepareRecovered } from "./recover.ts";
import { TrustedProxies } from "./trusted-proxies.ts";
import { WebSocketPaths } from "./websocket-paths.ts";

/** The address of one listener. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface WebSocketAddress extends ListenAddress {
  readonly paths: WebSocketPaths;
  readonly proxies: TrustedProxies;
}

/** A runtime that has sockets. */
export interface ListeningRuntime extends Runtime {
  listenTcp(driver: Driver, address: ListenAddress): Promise<Listener>;
  listenWebSocket(driver: Driver, address: WebSocketAddress, limits: Limits): Promise<Listener>;
}

/**
 * Creates a broker and opens its listeners. If one cannot be opened, closes the others and rejects. Options are checked before
 * the broker is created as far as possible, because a broker has a recording, and a timer that keeps the process alive.
 */
export async function listen<Server extends BrokerServer>(
  runtime: ListeningRuntime,
  options: BrokerOptions,
  make: (inner: InnerOptions, proxies: TrustedProxies, prepared: Prepared) => Server,
): Promise<Server> {
  checkBrokerOptions(options);
  const { tcp = {}, ws = false, trustedProxies = [] } = options;
  const places = Object.entries({ tcp, ws }).flatMap(([field, where]) =>
    where === false ? [] : [checkedPlace(field as Place["field"], where)],
  );
  const proxies = new TrustedProxies("trustedProxies", trustedProxies);
  const inner = innerOptions(options);
  const server = make(inner, proxies, await prepareRecovered(runtime, inner));
  try {
    for (const { hosts } of places) checkExposure(server, hosts);
    await server.serve(async (driver, limits) => {
      const opened: OpenListener[] = [];
      try {
        for (const place of places) {
          const open = (at: ListenAddress): Promise<Listener> =>
            place.field === "tcp"
              ? runtime.listenTcp(driver, at)
              : runtime.listenWebSocket(driver, { ...at, paths: place.paths, proxies }, limits);
          opened.push(...(await openAll(place, open)));
        }
      } catch (error) {
        await closeAll(opened);
        throw error;
      }
      // The sort is stable, so TCP stays before WebSocket.
      return opened.sort((a, b) => a.rank - b.rank).map(({ listener }) => listener);
    });
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** A checked option `tcp` or `ws`. */
interface Place {
  readonly field: "tcp" | "ws";
  readonly hosts: readonly Host[];
  readonly port: number;
  readonly paths: WebSocketPaths;
}

interface OpenListener {
  readonly listener: Listener;
  /** The position of its host in the option. */
  readonly rank: number;
}

function checkedPlace(field: Place["field"], where: WebSocketOptions): Place {
  checkOptions<Pick<WebSocketOptions, "host" | "port">>(
    field,
    where,
    field === "ws" ? webSocketNames : tcpNames,
  );
  const { host = LOCALHOST, port = PORTS[field], path = PATH } = where;
  const hosts = hostsOf(host, `${field}.host`);
  checkWhole(`${field}.port`, port, 0, 65_535);
  return { field, hosts, port, paths: new WebSocketPaths(`${field}.path`, path) };
}

/** Opens one listener for each host, all on the same port. */
async function openAll(
  place: Place,
  open: (at: ListenAddress) => Promise<Listener>,
): Promise<readonly OpenListener[]> {
  for (let tries = 1; ; tries++) {
    const opened: OpenListener[] = [];
    try {
      await openEach(place, open, opened);
      return opened;
    } catch (error) {
      await closeAll(opened);
      // A port that is free at the first host may be in use at the next.
      const isOther = place.port === 0 && opened.length > 0 && isTaken(error);
      if (!isOther || tries === PORT_TRIES) throw error;
    }
  }
}

async function openEach(
  { hosts, port: portGiven }: Place,
  open: (at: ListenAddress) => Promise<Listener>,
  opened: OpenListener[],
): Promise<void> {
  let port = portGiven;
  let absence: unknown;
  for (const [rank, { address: host, isOptional }] of hosts.entries()) {
    try {
      const listener = await at({ host, port }, open);
      opened.push({ listener, rank });
      port = listener.port;
    } catch (error) {
      if (!isOptional || !isAbsent(error)) throw error;
      absence ??= error;
    }
  }
  if (opened.length === 0) throw absence;
}

async function closeAll(opened: readonly OpenListener[]): Promise<void> {
  await Promise.all(opened.map(({ listener }) => listener.close()));
}

/** If it cannot be opened, adds the address and the error code to the message, because not every runtime does. */
async function at(
  address: ListenAddress,
  open: (at: ListenAddress) => Promise<Listener>,
): Promise<Listener> {
  try {
    return await open(address);
  } catch (error) {
    if (error instanceof Error) {
      const { code } = error as { readonly code?: unknown };
      const { host, port } = address;
      for (const detail of [code, authority(host, port)]) {
        if (typeof detail === "string" && !error.message.includes(detail))
          error.message = `${detail}: ${error.message}`;
      }
    }
    throw error;
  }
}

function isTaken(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === "EADDRINUSE";
}

/** Whether clients may be served at this address of the machine; undefined: not a network address. */
export function mayServe(server: BrokerServer, host: string | undefined): boolean {
  return !server.isOpenUnasked || host === undefined || isLoopback(host);
}

function checkExposure(server: BrokerServer, hosts: readonly Host[]): void {
  for (const { address } of hosts) {
    if (mayServe(server, address)) continue;
    const allowed = "a loopback address, or any address with users, authenticate or allowAnonymous";
    throw new ConfigError("host", address, allowed);
  }
}

/** Maximum sockets that are not yet WebSockets, beyond `connectionsMax`: they are not connections of the broker. */
export const HANDSHAKES_MAX = 1024;
/** The default path of WebSocket clients. */
export const PATH = "/mqtt";
const PORTS = { tcp: 1883, ws: 8083 } as const;
/** How many free ports of the first host are tried at the other hosts. */
const PORT_TRIES = 10;
