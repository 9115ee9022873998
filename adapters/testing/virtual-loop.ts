/**
 * An event loop whose clock stands still until it is told to go on.
 *
 * Turns run by themselves, as on any loop, so that whoever awaits an answer gets it; time, and with it every
 * alarm, goes only where `advance` takes it. Turns are taken from the host's own loop, as it was when this
 * was loaded: tests that replace timers do not stop it, and a program that goes round for ever can be ended.
 */
import type { Millis } from "../../core/mod.ts";
import { ConfigError } from "../../core/mod.ts";
import { afterInput } from "../captured.ts";
import type { HostLoop } from "../host.ts";
import type { Duration } from "./duration.ts";
import { durationMillis } from "./duration.ts";

/** The time of a test. */
export interface VirtualClock {
  /** Milliseconds since the broker was made. */
  readonly now: number;
  /**
   * Lets time pass. Everything that is due by then has happened, in its order and at its time, and clients of
   * the process have heard of it, when this resolves.
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
  /** Where it will be when all that was asked for has passed. */
  #until = 0;
  #turns: (() => void)[] = [];
  /** In the order they were set in. */
  readonly #alarms = new Set<Alarm>();
  /** Counts whatever happens. */
  #activity = 0;
  #advancing: Promise<void> = Promise.resolve();

  /** Its time ends at `millisMax`. */
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
      const allowed = `what a Date can tell: up to ${this.#millisMax - this.#until} ms more`;
      throw new ConfigError("duration", duration, allowed);
    }
    this.#until = until;
    // One after the other: time that passes twice at once passes twice.
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

  /** Waits until nothing happens any more but by time. */
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

/** Turns of the host's loop in which nothing happens, after which nothing does. */
const QUIET_TURNS = 2;
