/**
 * sansmq for tests of applications: a broker in the process whose time passes only on request,
 * and whose connections fail on request.
 */

import { ConfigError } from "../../core/mod.ts";
import { checkInnerOptions, innerOptions } from "../broker-options.ts";
import { checkObject, checkWhole } from "../checks.ts";
import { connectNames } from "../client/client-fields.ts";
import { localRuntime } from "../local/bare-broker.ts";
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
  /** The same seed gives the same client identifiers to clients without one. Default: 1. */
  readonly seed?: number;
  /** The wall-clock time at which the broker is created. Default: the beginning of 2026. */
  // biome-ignore lint/style/noRestrictedGlobals: a type, not the clock.
  readonly startsAt?: Date;
}

export interface TestConnectOptions extends ConnectOptions {
  /** Faults of this connection; a `Faults` object can add faults later. */
  readonly faults?: Faults | FaultOptions;
}

/** A broker in virtual time. `$SYS` is published only if `limits.sysMillis` is set. */
export class TestBroker extends LocalBroker {
  readonly clock: VirtualClock;
  /** Faults of all connections, current and future. */
  readonly faults: Faults = new Faults();
  readonly #links = new Set<FaultyLink>();

  /** Called by `createTestBroker`. Throws ConfigError. */
  constructor(options: TestBrokerOptions) {
    checkInnerOptions<TestBrokerOptions>(options, { seed: true, startsAt: true });
    const { seed = 1, startsAt, limits = {} } = options;
    checkWhole("seed", seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    checkObject("limits", limits);
    const epochMillis = startsAt === undefined ? STARTS_AT : dateMillis("startsAt", startsAt);
    const loop = new VirtualLoop(DATE_MILLIS_MAX - Math.max(epochMillis, 0));
    const runtime = { ...localRuntime(), loop, entropy: seededEntropy(seed), epochMillis };
    // Without $SYS, because each update would be a stop while the test lets a day pass.
    super(runtime, { ...innerOptions(options), limits: { sysMillis: 0, ...limits } });
    this.clock = {
      get now() {
        return loop.now();
      },
      advance: (duration) => loop.advance(duration),
    };
  }

  /** Two byte streams for any MQTT client. The client itself runs in real time. */
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

  /** Resolves when all work under way is done. No time passes. */
  async settled(): Promise<void> {
    await this.clock.advance(0);
  }

  /** Like `close` of every broker; stalled connections are cut off. */
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

/** Starts a broker for a test. Throws ConfigError for an invalid option. */
export function createTestBroker(options: TestBrokerOptions = {}): TestBroker {
  return new TestBroker(options);
}

/** Accepts a Date of any realm, and of a test framework that has replaced the host's Date. */
function dateMillis(field: string, value: unknown): number {
  const isDate = Object.prototype.toString.call(value) === "[object Date]";
  const millis = isDate ? (value as TestBrokerOptions["startsAt"])!.getTime() : Number.NaN;
  if (Number.isNaN(millis)) throw new ConfigError(field, value, "a Date");
  return millis;
}

/** The beginning of 2026. */
const STARTS_AT = 1_767_225_600_000;
/** The latest time of a Date. Times after it are still whole numbers. */
const DATE_MILLIS_MAX = 8.64e15;
