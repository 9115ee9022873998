/**
 * An event loop in virtual time: its clock stands still until `advance`.
 *
 * Turns run by themselves, as on any loop, so that awaited replies arrive. Time passes, and alarms fire, only in `advance`. Turns
 * run on the host's event loop as it was when this module was loaded: tests that replace timers do not stop them, and
 * a program in an endless loop of turns can be ended.
 */
import type { Millis } from "../../core/mod.ts";
import { ConfigError } from "../../core/mod.ts";
import { afterInput } from "../captured.ts";
import type { HostLoop } from "../host.ts";
import type { Duration } from "./duration.ts";
import { durationMillis } from "./duration.ts";

/** The time of a test. */
export interface VirtualClock {
  /** Milliseconds since the broker was created. */
  readonly now: number;
  /**
   * Lets time pass. When the promise resolves, all events that were due have happened, in order and at their times,
   * and the clients in the process know the results.
   */
  advance(duration: Duration): Promise<void>;
}

interface Alarm {
  readonly at: number;
  readonly ring: () => void;
}

export class VirtualLoop implements HostLoop {
  readonly #millisMax: number;
  #now = 0;
  /** The time after all calls of `advance` so far. */
  #until = 0;
  #turns: (() => void)[] = [];
  /** In the order in which they were set. */
  readonly #alarms = new Set<Alarm>();
  /** Counts turns and alarms, to notice that the loop is idle. */
  #activity = 0;
  #advancing: Promise<void> = Promise.resolve();

  /** Time ends at `millisMax`. */
  constructor(millisMax: number) {
    this.#millisMax = millisMax;
  }

  now(): Millis {
    return this.#now as Millis;
  }

  schedule(turn: () => void): void {
    this.#activity++;
    this.#turns.push(turn);
    if (this.#turns.length === 1) afterInput(() => this.#run());
  }

  setAlarm(ring: () => void, delayMillis: number): unknown {
    const alarm = { at: this.#now + delayMillis, ring };
    this.#alarms.add(alarm);
    return alarm;
  }

  clearAlarm(handle: unknown): void {
    this.#alarms.delete(handle as Alarm);
  }

  advance(duration: Duration): Promise<void> {
    const millis = durationMillis(duration);
    const until = this.#until + millis;
    if (until > this.#millisMax) {
      const allowed = `at most ${this.#millisMax - this.#until} ms more, the end of the range of Date`;
      throw new ConfigError("duration", duration, allowed);
    }
    this.#until = until;
    // One after the other: two concurrent calls let both durations pass.
    this.#advancing = this.#advancing.then(() => this.#advance(until));
    return this.#advancing;
  }

  async #advance(until: number): Promise<void> {
    await this.#settle();
    for (let next = this.#next(); next !== null && next.at <= until; next = this.#next()) {
      this.#now = Math.max(this.#now, next.at);
      this.#alarms.delete(next);
      this.#activity++;
      next.ring();
      await this.#settle();
    }
    this.#now = until;
    await this.#settle();
  }

  /** Waits until nothing more happens without time passing. */
  async #settle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; ) {
      const before = this.#activity;
      await new Promise<void>((resolve) => afterInput(resolve));
      quiet = this.#activity === before ? quiet + 1 : 0;
    }
  }

  #next(): Alarm | null {
    let next: Alarm | null = null;
    for (const alarm of this.#alarms) if (next === null || alarm.at < next.at) next = alarm;
    return next;
  }

  #run(): void {
    this.#activity++;
    for (const turn of this.#turns.splice(0)) turn();
  }
}

/** After this many idle turns of the host's loop, the loop counts as idle. */
const QUIET_TURNS = 2;
