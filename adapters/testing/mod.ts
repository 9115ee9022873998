/**
 * sansmq for the tests of applications: a broker in the process whose time goes on only when it is told to,
 * and whose connections fail on request.
 */

import { ConfigError } from "../../core/mod.ts";
import { checkInnerOptions, innerOptions } from "../broker-options.ts";
import { checkObject, checkWhole } from "../checks.ts";
import { localRuntime } from "../local/bare-broker.ts";
import { connectNames } from "../local/client-fields.ts";
import type { BytePipe, ConnectOptions, LocalBrokerOptions, LocalClient } from "../local/mod.ts";
import { LocalBroker } from "../local/mod.ts";
import { openPipe } from "../local/pipe.ts";
import { checkOptions, picked } from "../options.ts";
import { seededEntropy } from "./entropy.ts";
import type { FaultOptions } from "./faults.ts";
import { Faults } from "./faults.ts";
import { FaultyLink } from "./faulty-link.ts";
import type { VirtualClock } from "./virtual-loop.ts";
import { VirtualLoop } from "./virtual-loop.ts";

export * from "../local/mod.ts";
export type { Duration } from "./duration.ts";
export type { Direction, Droppable, FaultOptions } from "./faults.ts";
export { Faults } from "./faults.ts";
export type { VirtualClock } from "./virtual-loop.ts";

export interface TestBrokerOptions extends LocalBrokerOptions {
  /** The same seed makes the same client identifiers, where clients leave the choice to the broker. Default: 1. */
  readonly seed?: number;
  /** What the wall clock says when the broker is made. Default: the beginning of 2026. */
  // biome-ignore lint/style/noRestrictedGlobals: a type, not the clock.
  readonly startsAt?: Date;
}

export interface TestConnectOptions extends ConnectOptions {
  /** What goes wrong with this connection; `Faults` where it is to go wrong later. */
  readonly faults?: Faults | FaultOptions;
}

/** A broker in virtual time. `$SYS` is not published, unless `limits.sysMillis` says how often. */
export class TestBroker extends LocalBroker {
  readonly clock: VirtualClock;
  /** What goes wrong with every connection that is made from now on, and with those that are there. */
  readonly faults: Faults = new Faults();
  readonly #links = new Set<FaultyLink>();

  /** `createTestBroker` does. Throws ConfigError. */
  constructor(options: TestBrokerOptions) {
    checkInnerOptions<TestBrokerOptions>(options, { seed: true, startsAt: true });
    const { seed = 1, startsAt, limits = {} } = options;
    checkWhole("seed", seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    checkObject("limits", limits);
    const epochMillis = startsAt === undefined ? STARTS_AT : dateMillis("startsAt", startsAt);
    const loop = new VirtualLoop(DATE_MILLIS_MAX - Math.max(epochMillis, 0));
    const runtime = { ...localRuntime(), loop, entropy: seededEntropy(seed), epochMillis };
    // Without $SYS, whose every update would be a stop on the way of a day that passes.
    super(runtime, { ...innerOptions(options), limits: { sysMillis: 0, ...limits } });
    this.clock = {
      get now() {
        return loop.now();
      },
      advance: (duration) => loop.advance(duration),
    };
  }

  /** A transport of bytes, for a client that speaks MQTT itself. Such a client's own time is the real one. */
  override pipe(options: Pick<TestConnectOptions, "faults"> = {}): BytePipe {
    checkOptions("options", options, { faults: true });
    return openPipe(this.#link(options));
  }

  override connect(options: TestConnectOptions = {}): Promise<LocalClient> {
    try {
      checkOptions<TestConnectOptions>("options", options, { ...connectNames, faults: true });
      return this.connectOver(this.#link(options), picked<ConnectOptions>(options, connectNames));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Resolves once everything that is under way has happened; time stands still. */
  async settled(): Promise<void> {
    await this.clock.advance(0);
  }

  /** As of every broker; what is stalled is cut off. */
  override close(graceMillis?: number): Promise<void> {
    for (const link of this.#links) if (link.isStalled) link.cut();
    return super.close(graceMillis);
  }

  #link(options: Pick<TestConnectOptions, "faults">): FaultyLink {
    const { faults = {} } = options;
    checkObject("faults", faults);
    const own = faults instanceof Faults ? faults : new Faults(faults);
    const link: FaultyLink = new FaultyLink(this.driver, [this.faults, own], () =>
      this.#links.delete(link),
    );
    this.#links.add(link);
    return link;
  }
}

/** Starts a broker for a test. Throws ConfigError where an option is wrong. */
export function createTestBroker(options: TestBrokerOptions = {}): TestBroker {
  return new TestBroker(options);
}

/** Of any realm, and of a Date that a test framework put in the place of the host's. */
function dateMillis(field: string, value: unknown): number {
  const isDate = Object.prototype.toString.call(value) === "[object Date]";
  const millis = isDate ? (value as TestBrokerOptions["startsAt"])!.getTime() : Number.NaN;
  if (Number.isNaN(millis)) throw new ConfigError(field, value, "a Date");
  return millis;
}

/** The beginning of 2026. */
const STARTS_AT = 1_767_225_600_000;
/** The last time that a Date tells; what is due after it is still a whole number. */
const DATE_MILLIS_MAX = 8.64e15;
