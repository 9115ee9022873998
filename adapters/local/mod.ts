/** sansmq within a process, with no socket at all: for tests, for tabs and workers, for one program's own use. */
import type { Limits } from "../../core/mod.ts";
import { parseLimits } from "../../core/mod.ts";
import type { Runtime } from "../broker-server.ts";
import type { LocalClient } from "../client/client.ts";
import { connectClient } from "../client/client.ts";
import type { ConnectOptions } from "../client/client-api.ts";
import { ClientSessions } from "../client/client-session.ts";
import { IDENTIFIER_MAX, OWN_IDENTIFIER_MIN } from "../client/incoming.ts";
import type { DeferringHost, HostLoop } from "../host.ts";
import type { LocalBrokerOptions } from "./bare-broker.ts";
import { BareBroker, localRuntime } from "./bare-broker.ts";

export { LocalClient } from "../client/client.ts";
export type {
  Closed,
  ConnectOptions,
  ConnectProperties,
  DisconnectOptions,
  LocalMessage,
  MessageHandler,
  PublishResult,
  SubscribeOptions,
  WillOptions,
} from "../client/client-api.ts";
export { ClosedError, RefusedError } from "../client/errors.ts";
export { Subscription } from "../client/subscription.ts";
export * from "../mod.ts";
export type { LocalBrokerOptions } from "./bare-broker.ts";
export { BareBroker, createBareBroker } from "./bare-broker.ts";
export type { BytePipe } from "./pipe.ts";
export type { BytePort } from "./port-link.ts";
export type { PortSocket } from "./port-socket.ts";
export { portSocket } from "./port-socket.ts";

/** A broker that clients of the same process, tab or browser reach. */
export class LocalBroker extends BareBroker {
  readonly #loop: HostLoop;
  readonly #limits: Limits;
  readonly #sessions = new ClientSessions();
  #lastIdentifier = OWN_IDENTIFIER_MIN - 1;

  /** `createLocalBroker` does. Throws ConfigError. */
  constructor(runtime: Runtime, options: LocalBrokerOptions) {
    super(runtime, options);
    this.#loop = runtime.loop;
    this.#limits = parseLimits(options.limits);
  }

  /**
   * A client of MQTT 5.0, connected. Rejects with RefusedError where the broker refuses it, with ClosedError
   * where the connection ends first, and with ConfigError where an option is wrong.
   */
  connect(options: ConnectOptions = {}): Promise<LocalClient> {
    return this.connectOver(this.driver, options);
  }

  /** A client over something that stands between it and the broker. */
  protected connectOver(host: DeferringHost, options: ConnectOptions): Promise<LocalClient> {
    const client = (): Promise<LocalClient> =>
      connectClient(
        {
          ...{ host, loop: this.#loop, limits: this.#limits, sessions: this.#sessions },
          identifier: () => {
            const next = this.#lastIdentifier + 1;
            this.#lastIdentifier = next > IDENTIFIER_MAX ? OWN_IDENTIFIER_MIN : next;
            return this.#lastIdentifier;
          },
          failed: (error) => this.report(error),
        },
        options,
      );
    // A policy may connect too, while the broker waits for its answer.
    return new Promise((resolve) => host.whenFree(() => resolve(client())));
  }
}

/** Starts a broker that listens nowhere. Throws ConfigError where an option is wrong. */
export function createLocalBroker(options: LocalBrokerOptions = {}): LocalBroker {
  return new LocalBroker(localRuntime(), options);
}
