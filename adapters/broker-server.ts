/** The broker as a library: makes a running broker from options, on every runtime. */
import type { Broker, BrokerEvent, CounterName, Limits, RecoveryCounts } from "../core/mod.ts";
import { ConfigError, Counter, counterNames, countUnstored, Reason } from "../core/mod.ts";
import type { ComposedPolicy } from "./auth/policy.ts";
import type { InnerOptions, PublishOptions } from "./broker-options.ts";
import { publishNames } from "./broker-options.ts";
import { clearTimeout, monotonicMillis, queueMicrotask, setTimeout } from "./captured.ts";
import { checkedMessage, checkFunction, checkSwitch, checkText, checkWhole } from "./checks.ts";
import type { StoreState } from "./commit-loop.ts";
import { Driver } from "./driver.ts";
import type { Runtime } from "./host.ts";
import { checkOptions } from "./options.ts";
import type { Prepared } from "./prepare.ts";
import { prepareNow } from "./prepare.ts";
import type { RecordedBroker } from "./record/options.ts";
import type { Store } from "./storage/store.ts";
import { forgetRequest } from "./upgrade-request.ts";

/** The events of `BrokerServer.on`, and the objects that their listeners get. */
export type BrokerEvents = {
  [K in BrokerEvent["kind"]]: Extract<BrokerEvent, { kind: K }>;
} & {
  /** A function or listener of the program failed; the broker goes on. */
  error: { readonly kind: "error"; readonly error: unknown };
  /**
   * The store failed: nothing more becomes durable, so nothing that needs it is acknowledged until the program starts
   * the broker again. Without a listener, `error` is emitted.
   */
  storeFailed: { readonly kind: "storeFailed"; readonly error: unknown };
  /**
   * The store has no room. Until `storeRecovered`, the broker tries again, does not acknowledge what the store must keep, and
   * does not read from the clients that sent it. Everything else goes on.
   */
  storeFull: { readonly kind: "storeFull"; readonly error: unknown };
  /** The store has room again: nothing was lost. `fullMillis` is the time since `storeFull`. */
  storeRecovered: { readonly kind: "storeRecovered"; readonly fullMillis: number };
};

/** A listener that a runtime opened. */
export interface Listener {
  /** Such as `tcp://127.0.0.1:1883`; a WebSocket listener has one address for each path. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Stops accepting. Open transports stay open. */
  close(): Promise<void>;
}

/** A running broker. */
export class BrokerServer {
  /** The driver, for transports that are opened in another way than by a listener. */
  protected readonly driver: Driver;
  readonly #broker: Broker;
  /** The same broker if it is recorded, else null. */
  readonly #recording: RecordedBroker | null;
  readonly #policy: ComposedPolicy;
  /** The program explicitly allowed anonymous clients. */
  readonly #allowsAnonymous: boolean;
  readonly #limits: Limits;
  readonly #store: Store;
  readonly #listeners: Listener[] = [];
  readonly #handlers = new Map<string, Set<(event: never) => void>>();
  /** The codec in use, such as `wasm-simd`. */
  readonly codec: string;
  /** How many records were recovered from the store, and dropped as damaged; null: the store is not durable. */
  readonly recovered: RecoveryCounts | null;
  #closing: Promise<void> | null = null;

  /** Opens no listener; `createBroker` does. `prepared`: made of the same options. Throws ConfigError. */
  constructor(
    runtime: Runtime,
    options: InnerOptions,
    prepared: Prepared = prepareNow(runtime, options),
  ) {
    const { broker, recording, policy, limits, store, codec, serverReference } = prepared;
    this.#broker = broker;
    this.#recording = recording;
    this.#policy = policy;
    this.#limits = limits;
    this.#store = store;
    this.codec = codec;
    this.recovered = prepared.recovered;
    this.#allowsAnonymous = options.allowAnonymous === true;
    this.driver = new Driver({
      broker,
      loop: runtime.loop,
      store: {
        ...{ store, limits },
        handleFull: (error) => this.#emit("storeFull", { kind: "storeFull", error }),
        handleRecovered: (fullMillis) =>
          this.#emit("storeRecovered", { kind: "storeRecovered", fullMillis }),
        handleFailure: (error) => {
          const kind = this.#handlers.has("storeFailed") ? "storeFailed" : "error";
          this.#emit(kind, { kind, error });
        },
      },
      out: runtime.out,
      memoryBytes: limits.sysMillis === 0 ? null : (runtime.memoryBytes ?? null),
      decide: (request) => policy.decide(request),
      handleEvent: (event) => this.#handleEvent(event),
      handleError: (error) => this.#emit("error", { kind: "error", error }),
    });
    if (serverReference !== null) this.moveClients(serverReference);
  }

  /**
   * The addresses of the listeners, such as `tcp://127.0.0.1:1883`: TCP and WebSocket at the first host, then at the second and
   * so on. The ports are the same at each host.
   */
  get addresses(): readonly string[] {
    return this.#listeners.flatMap((listener) => listener.addresses);
  }

  /**
   * Whether the store takes what the broker writes: `ready`, `full` (it has no room for now), or `failed`. The memory store is
   * always ready.
   */
  get storeState(): StoreState {
    return this.driver.storeState;
  }

  /**
   * How many messages were acknowledged on receipt (durability `received`) and must be kept, but are not stored yet: a crash would
   * lose them. After `close`, they are lost. Looks at every message in memory.
   */
  countUnstored(): number {
    return countUnstored(this.#broker);
  }

  /** The current value of every counter, by name. */
  get counters(): Readonly<Record<CounterName, number>> {
    const { counters } = this.#broker;
    return Object.fromEntries(
      counterNames.map((name) => [name, counters[Counter[name]]!]),
    ) as Record<CounterName, number>;
  }

  /**
   * Publishes a message. Throws ConfigError for a message that no client could send. A policy may also call this and
   * `disconnect`: the broker then executes the call after it has the policy's answer.
   */
  publish(topic: string, payload: Uint8Array | string, options: PublishOptions = {}): void {
    checkOptions("options", options, publishNames);
    const message = checkedMessage({ ...options, topic, payload }, this.#limits);
    this.driver.command({ kind: "publish", ...message });
  }

  /** Ends the connection of a client; its will is published. Throws ConfigError. */
  disconnect(clientId: string): void {
    checkText("clientId", clientId);
    this.driver.command({ kind: "kick", clientId, reason: Reason.AdministrativeAction });
  }

  /**
   * Refers clients to another server: connected clients are disconnected and new ones refused; MQTT 5.0 clients get the server's
   * address. Null: clients may connect again. Throws ConfigError.
   */
  moveClients(reference: string | null, options: { readonly isForGood?: boolean } = {}): void {
    checkOptions("options", options, { isForGood: true });
    const { isForGood = false } = options;
    if (reference !== null) checkText("reference", reference);
    checkSwitch("isForGood", isForGood);
    this.driver.command({ kind: "move", reference, isForGood });
  }

  on<K extends keyof BrokerEvents>(kind: K, handler: (event: BrokerEvents[K]) => void): this {
    checkListener(kind, handler);
    const handlers = this.#handlers.get(kind) ?? new Set();
    this.#handlers.set(kind, handlers);
    handlers.add(handler);
    this.#observe(kind);
    return this;
  }

  off<K extends keyof BrokerEvents>(kind: K, handler: (event: BrokerEvents[K]) => void): this {
    checkListener(kind, handler);
    const handlers = this.#handlers.get(kind);
    if (handlers?.delete(handler) === true && handlers.size === 0) this.#handlers.delete(kind);
    this.#observe(kind);
    return this;
  }

  /** Serves at the listeners that `open` opens, until `close`. @internal */
  async serve(
    open: (driver: Driver, limits: Limits) => Promise<readonly Listener[]>,
  ): Promise<void> {
    this.#listeners.push(...(await open(this.driver, this.#limits)));
  }

  /**
   * Stops accepting, sends pending output, closes every connection, and resolves. After `graceMillis`
   * the remaining connections are cut off. Throws ConfigError.
   */
  close(graceMillis = 1500): Promise<void> {
    checkWhole("graceMillis", graceMillis, 0, 2 ** 31 - 1);
    this.#closing ??= this.#close(graceMillis);
    return this.#closing;
  }

  async #close(graceMillis: number): Promise<void> {
    const listenersClosed = this.#listeners.map((listener) => listener.close());
    this.driver.command({ kind: "shutdown" });
    const until = monotonicMillis() + graceMillis;
    await within(graceMillis, (resolve) => this.driver.onIdle(resolve));
    this.driver.stop();
    // What was acknowledged without waiting for the store is stored now.
    const finishMillis = Math.max(FINISH_MILLIS_MIN, until - monotonicMillis());
    await within(finishMillis, (resolve) => void this.driver.finishCommits().then(resolve));
    this.driver.endCommits();
    await Promise.all(listenersClosed);
    await this.#store.close().finally(() => this.endRecording());
  }

  /** Ends the recording in order, if there is one. For a process that ends without `close`. */
  endRecording(): void {
    this.#recording?.endRecording();
  }

  /** Emits the events that the broker still holds, for a process that ends by an error. @internal */
  emitHeldEvents(): void {
    this.driver.report();
  }

  /** Reports an error of the program to listeners of `error`. Without listeners it is thrown after the current work. */
  protected report(error: unknown): void {
    if (this.#handlers.has("error")) this.#emit("error", { kind: "error", error });
    else throwLater(error);
  }

  #handleEvent(event: BrokerEvent): void {
    if (event.kind === "connected") {
      forgetRequest(event.info);
      this.#policy.forgetRequest(event.conn);
    }
    if (event.kind === "disconnected" || event.kind === "refused") this.#policy.forget(event.conn);
    this.#emit(event.kind, event);
  }

  #emit(kind: string, event: unknown): void {
    for (const handler of this.#handlers.get(kind) ?? []) {
      try {
        handler(event as never);
      } catch (error) {
        if (kind === "error") throwLater(error);
        else this.report(error);
      }
    }
  }

  #observe(kind: string): void {
    if (kind !== "published") return;
    const publishes = (this.#handlers.get(kind)?.size ?? 0) > 0;
    this.driver.command({ kind: "observe", publishes });
  }

  /** Whether anonymous clients may connect although the program did not explicitly allow them. @internal */
  get isOpenUnasked(): boolean {
    return !this.#allowsAnonymous && this.#policy.isOpen;
  }
}

/** Resolves once `begin` calls its argument, and after `millis` at the latest. */
function within(millis: number, begin: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis);
    begin(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Throws an uncaught error where nothing catches it: not the broker, and not the runtime. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

function checkListener(kind: unknown, handler: unknown): void {
  if (!Object.hasOwn(EVENTS, kind as string)) {
    throw new ConfigError("kind", kind, Object.keys(EVENTS).join(", "));
  }
  checkFunction("handler", handler);
}

const EVENTS: Readonly<Record<keyof BrokerEvents, true>> = {
  ...{ connected: true, disconnected: true, refused: true, subscribed: true, unsubscribed: true },
  ...{ published: true, denied: true, messageLost: true, error: true },
  ...{ storeFailed: true, storeFull: true, storeRecovered: true },
};

/** The store always gets this time for the last writes when the broker closes. */
const FINISH_MILLIS_MIN = 300;
