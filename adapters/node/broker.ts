/** A broker on Node, which also serves in an HTTP server of the program's own. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ConfigError, parseLimits } from "../../core/mod.ts";
import type { InnerOptions, WebSocketOptions } from "../broker-options.ts";
import type { Runtime } from "../broker-server.ts";
import { BrokerServer } from "../broker-server.ts";
import { checkSupplied } from "../checks.ts";
import { mayServe, PATH } from "../listen.ts";
import { checkOptions } from "../options.ts";
import type { TrustedProxies } from "../trusted-proxies.ts";
import { notFoundText, WebSocketPaths } from "../websocket-paths.ts";
import type { HandleUpgrade } from "./websocket.ts";
import { refuse, webSocketUpgrade } from "./websocket.ts";

/** A server of `node:http` or `node:https`: as much of it as is needed, so that our types need none of Node's. */
export interface UpgradeServer {
  on(event: "upgrade", listener: (...upgrade: unknown[]) => void): unknown;
  off(event: "upgrade", listener: (...upgrade: unknown[]) => void): unknown;
  listeners(event: "upgrade"): readonly unknown[];
}

/** What Node's `upgrade` event brings: an IncomingMessage, a Duplex and a Buffer. */
export type Upgrade = readonly [request: object, socket: object, head: Uint8Array];

export class NodeBroker extends BrokerServer {
  readonly #upgrade: HandleUpgrade;
  readonly #detaches = new Set<() => void>();
  #isClosing = false;

  constructor(runtime: Runtime, options: InnerOptions, proxies: TrustedProxies) {
    super(runtime, options);
    this.#upgrade = webSocketUpgrade(this.driver, parseLimits(options.limits), proxies);
  }

  /**
   * Serves MQTT over WebSocket on a path of a server of `node:http` or `node:https`, or on several, whatever framework
   * is on it, before or after it listens. Its requests, its other upgrades and its end stay the program's: only an
   * upgrade to a path that nobody has a listener for is refused, with 404. Of two on one path the first serves.
   * Returns what stops it; `close` does too. Throws ConfigError.
   */
  attachWebSocket(server: UpgradeServer, options: Pick<WebSocketOptions, "path"> = {}): () => void {
    checkSupplied("server", server, "on", "off", "listeners");
    checkOptions("options", options, { path: true });
    const { path = PATH } = options;
    const paths = new WebSocketPaths("path", path);
    const onUpgrade = (...upgrade: unknown[]): void => {
      const [request, socket, head] = upgrade as unknown as NodeUpgrade;
      if (answered.has(socket)) return;
      if (paths.has(request.url!)) this.handleUpgrade(request, socket, head);
      else if (isLastToAnswer(server, onUpgrade))
        refuse(socket, 404, notFoundText(pathsOf(server)));
    };
    attached.set(onUpgrade, paths);
    server.on("upgrade", onUpgrade);
    const detach = (): void => {
      server.off("upgrade", onUpgrade);
      this.#detaches.delete(detach);
    };
    this.#detaches.add(detach);
    return detach;
  }

  /**
   * Makes a client of one upgrade that the program took itself, or refuses it: 400 where it is not for MQTT, 403
   * where anonymous clients of other machines may not be served, 503 once the broker closes. Throws ConfigError
   * where a broker took it already.
   */
  handleUpgrade(...upgrade: Upgrade): void {
    const [request, socket, head] = upgrade as NodeUpgrade;
    if (answered.has(socket)) {
      throw new ConfigError("socket", socket, "the socket of an upgrade that no broker took");
    }
    answered.add(socket);
    if (this.#isClosing) refuse(socket, 503);
    else if (!mayServe(this, request.socket.localAddress)) refuse(socket, 403);
    else this.#upgrade(request, socket, head);
  }

  override close(graceMillis?: number): Promise<void> {
    const closed = super.close(graceMillis);
    this.#isClosing = true;
    for (const detach of this.#detaches) detach();
    return closed;
  }
}

type NodeUpgrade = readonly [request: IncomingMessage, socket: Duplex, head: Buffer];

/** The listeners of every broker, to tell them from the program's own, and what they serve. */
const attached = new WeakMap<object, WebSocketPaths>();
/** The sockets that some broker took: those of the same server that are asked after it leave them alone. */
const answered = new WeakSet<Duplex>();

function pathsOf(server: UpgradeServer): readonly string[] {
  const listeners = server.listeners("upgrade") as readonly object[];
  return listeners.flatMap((listener) => attached.get(listener)?.given ?? []);
}

/** Whether all who were asked before were brokers, and nobody is asked after. */
function isLastToAnswer(server: UpgradeServer, onUpgrade: object): boolean {
  const listeners = server.listeners("upgrade") as readonly object[];
  return listeners.at(-1) === onUpgrade && listeners.every((listener) => attached.has(listener));
}
