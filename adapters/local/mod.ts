/** sansmq without sockets, for clients of the same process, tab or worker, and for tests. */
import type { Limits } from "../../core/mod.ts";
import { parseLimits } from "../../core/mod.ts";
import type { LocalClient } from "../client/client.ts";
import { connectClient } from "../client/client.ts";
import type { ConnectOptions } from "../client/client-api.ts";
import { ClientSessions } from "../client/client-session.ts";
import { IDENTIFIER_MAX, OWN_IDENTIFIER_MIN } from "../client/incoming.ts";
import type { DeferringHost, HostLoop, Runtime } from "../host.ts";
import type { Prepared } from "../prepare.ts";
import { prepareRecovered } from "../recover.ts";
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

/** A broker for clients of the same process or browser. */
export class LocalBroker extends BareBroker {
  readonly #loop: HostLoop;
  readonly #limits: Limits;
  readonly #sessions = new ClientSessions();
  #lastIdentifier = OWN_IDENTIFIER_MIN - 1;

  /** Use `createLocalBroker` instead. Throws ConfigError. */
  constructor(runtime: Runtime, options: LocalBrokerOptions, prepared?: Prepared) {
    super(runtime, options, prepared);
    this.#loop = runtime.loop;
    this.#limits = parseLimits(options.limits);
  }

  /**
   * Connects an MQTT 5.0 client. Rejects with RefusedError if the broker refuses it, with ClosedError if the connection ends first,
   * and with ConfigError for an invalid option.
   */
  connect(options: ConnectOptions = {}): Promise<LocalClient> {
    return this.connectOver(this.driver, options);
  }

  /** Connects a client through `host`, which is between the client and the broker. */
  protected connectOver(host: DeferringHost, options: ConnectOptions): Promise<LocalClient> {
    const client = (): Promise<LocalClient> =>
      connectClient(
        {
          ...{ host, loop: this.#loop, limits: this.#limits, sessions: this.#sessions },
          newIdentifier: () => {
            const next = this.#lastIdentifier + 1;
            this.#lastIdentifier = next > IDENTIFIER_MAX ? OWN_IDENTIFIER_MIN : next;
            return this.#lastIdentifier;
          },
          handleError: (error) => this.report(error),
        },
        options,
      );
    // A policy may call this within a call of the core, so the client connects after that call.
    return new Promise((resolve) => host.whenFree(() => resolve(client())));
  }
}

/** Creates a broker without listeners. Throws ConfigError for an invalid option. */
export function createLocalBroker(options: LocalBrokerOptions = {}): LocalBroker {
  return new LocalBroker(localRuntime(), options);
}

/** The same, once the store has loaded. Rejects with ConfigError where an option is wrong. */
export async function openLocalBroker(options: LocalBrokerOptions = {}): Promise<LocalBroker> {
  const runtime = localRuntime();
  return new LocalBroker(runtime, options, await prepareRecovered(runtime, options));
}
