/** A broker on Node. It can also serve WebSocket clients of the program's own HTTP server. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ConfigError, parseLimits } from "../../core/mod.ts";
import type { InnerOptions, WebSocketOptions } from "../broker-options.ts";
import { BrokerServer } from "../broker-server.ts";
import { checkSupplied } from "../checks.ts";
import type { Runtime } from "../host.ts";
import { mayServe, PATH } from "../listen.ts";
import { checkOptions } from "../options.ts";
import type { Prepared } from "../prepare.ts";
import type { TrustedProxies } from "../trusted-proxies.ts";
import { notFoundText, WebSocketPaths } from "../websocket-paths.ts";
import type { HandleUpgrade } from "./websocket.ts";
import { refuse, webSocketUpgrade } from "./websocket.ts";

/** The used part of a server of `node:http` or `node:https`. The public types do not depend on Node's types. */
export interface UpgradeServer {
  on(event: "upgrade", listener: (...upgrade: unknown[]) => void): unknown;
  off(event: "upgrade", listener: (...upgrade: unknown[]) => void): unknown;
  listeners(event: "upgrade"): readonly unknown[];
}

/** The arguments of Node's `upgrade` event: an IncomingMessage, a Duplex and a Buffer. */
export type Upgrade = readonly [request: object, socket: object, head: Uint8Array];

export class NodeBroker extends BrokerServer {
  readonly #upgrade: HandleUpgrade;
  readonly #detaches = new Set<() => void>();
  #isClosing = false;

  constructor(
    runtime: Runtime,
    options: InnerOptions,
    proxies: TrustedProxies,
    prepared: Prepared,
  ) {
    super(runtime, options, prepared);
    this.#upgrade = webSocketUpgrade(this.driver, parseLimits(options.limits), proxies);
  }

  /**
   * Serves MQTT over WebSocket on one or more paths of a server of `node:http` or `node:https`, with any framework, before or after
   * the server listens. The program still handles the server's requests and other upgrades, and closes the server. An upgrade to
   * another path is refused with 404 if the server has no other `upgrade` listeners than those of brokers. If two brokers have the
   * same path, the first one serves. Returns a function that stops serving, as `close` does too. Throws ConfigError.
   */
  attachWebSocket(server: UpgradeServer, options: Pick<WebSocketOptions, "path"> = {}): () => void {
    checkSupplied("server", server, "on", "off", "listeners");
    checkOptions("options", options, { path: true });
    const { path = PATH } = options;
    const paths = new WebSocketPaths("path", path);
    const onUpgrade = (...upgrade: unknown[]): void => {
      const [request, socket, head] = upgrade as unknown as NodeUpgrade;
      if (handled.has(socket)) return;
      if (paths.has(request.url!)) this.handleUpgrade(request, socket, head);
      else if (isLastListener(server, onUpgrade))
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
   * Serves the client of an upgrade that the program received itself, or refuses it: with 400 if it is not for MQTT, with 403 if
   * anonymous clients of other machines must not be served, with 503 if the broker is closing. Throws ConfigError if a broker has
   * already handled the upgrade.
   */
  handleUpgrade(...upgrade: Upgrade): void {
    const [request, socket, head] = upgrade as NodeUpgrade;
    if (handled.has(socket)) {
      throw new ConfigError(
        "socket",
        socket,
        "the socket of an upgrade that no broker has handled",
      );
    }
    handled.add(socket);
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

/** The `upgrade` listeners of all brokers, and the paths that they serve. */
const attached = new WeakMap<object, WebSocketPaths>();
/** The sockets of upgrades that a broker has handled. The other brokers of the server ignore them. */
const handled = new WeakSet<Duplex>();

function pathsOf(server: UpgradeServer): readonly string[] {
  const listeners = server.listeners("upgrade") as readonly object[];
  return listeners.flatMap((listener) => attached.get(listener)?.given ?? []);
}

/** Whether a listener is the server's last one, and all others are listeners of brokers. */
function isLastListener(server: UpgradeServer, onUpgrade: object): boolean {
  const listeners = server.listeners("upgrade") as readonly object[];
  return listeners.at(-1) === onUpgrade && listeners.every((listener) => attached.has(listener));
}
