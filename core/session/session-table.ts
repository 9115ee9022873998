/**
 * Sessions by client identifier and by slot, their limit, and their expiry while the client is
 * disconnected.
 */
import { Slots } from "../base/slots.ts";
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { Limits } from "../config.ts";
import type { DurableSessionId } from "../journal/record-keys.ts";
import { Counter } from "../observe/counters.ts";
import { TimingWheel } from "../time/wheel.ts";
import type { SessionSlot } from "./session.ts";
import { Session } from "./session.ts";
import type { SessionContext } from "./session-context.ts";
import { SessionRecord } from "./session-record.ts";

export class SessionTable {
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  readonly #context: SessionContext;
  readonly #slots: Slots;
  readonly #byClientId = new Map<string, Session>();
  readonly #bySlot: (Session | null)[] = [null];
  readonly #expiry = new TimingWheel();
  readonly #wills = new TimingWheel();
  #persistentCount = 0;
  /** Slots freed while `keepsFreedSlots`: a fan-out may still refer to them. */
  readonly #freedSlots: SessionSlot[] = [];
  /** While true, freed slots are not reused. */
  keepsFreedSlots = false;

  constructor(context: SessionContext) {
    const { limits, counters } = context;
    this.#limits = limits;
    this.#counters = counters;
    this.#context = context;
    this.#slots = new Slots(limits.sessionsMax + limits.connectionsMax);
  }

  find(clientId: string): Session | undefined {
    return this.#byClientId.get(clientId);
  }

  /** The session in a slot, or null. */
  at(slot: SessionSlot): Session | null {
    return this.#bySlot[slot]!;
  }

  /**
   * Makes a session, or returns null if it would outlive its connection and there are `sessionsMax`
   * of those. The client identifier must have no session. Sessions that end with their connection
   * do not count against `sessionsMax`; `connectionsMax` bounds them.
   */
  create(clientId: string, expiryMillis: number): Session | null {
    if (expiryMillis > 0 && this.#persistentCount >= this.#limits.sessionsMax) return null;
    const { records } = this.#context;
    const isRecorded = records !== null && expiryMillis > 0;
    const record = isRecorded ? new SessionRecord(records, clientId) : null;
    return this.#add(clientId, expiryMillis, record);
  }

  /**
   * Makes a recovered session again. Null: no slot is free. The client identifier must have no session.
   */
  restore(clientId: string, expiryMillis: number, durableId: DurableSessionId): Session | null {
    const record = new SessionRecord(this.#context.records!, clientId, durableId);
    return this.#add(clientId, expiryMillis, record);
  }

  #add(clientId: string, expiryMillis: number, record: SessionRecord | null): Session | null {
    const slot = this.#slots.acquire();
    if (slot === 0) return null;
    const session = new Session(this.#context, slot, { clientId, expiryMillis, record });
    this.#bySlot[slot] = session;
    this.#byClientId.set(clientId, session);
    this.#counters[Counter.sessions]!++;
    if (session.isPersistent) this.#persistentCount++;
    return session;
  }

  /** Forgets a session. Its subscriptions and messages must have been cleared. */
  remove(session: Session): void {
    this.#expiry.cancel(session.slot);
    this.#wills.cancel(session.slot);
    this.#byClientId.delete(session.clientId);
    this.#bySlot[session.slot] = null;
    this.#counters[Counter.sessions]!--;
    if (session.isPersistent) this.#persistentCount--;
    if (this.keepsFreedSlots) this.#freedSlots.push(session.slot);
    else this.#slots.release(session.slot);
  }

  /** Releases the kept slots; no fan-out refers to them any more. */
  releaseFreedSlots(): void {
    this.keepsFreedSlots = false;
    for (const slot of this.#freedSlots) this.#slots.release(slot);
    this.#freedSlots.length = 0;
  }

  /** The client disconnected: the session expires at `deadline` unless the client reconnects. */
  scheduleExpiry(session: Session, deadline: Millis): void {
    if (deadline !== NEVER) this.#expiry.set(session.slot, deadline);
  }

  /** The will of the session is due at `deadline` unless the client reconnects. */
  scheduleWill(session: Session, deadline: Millis): void {
    this.#wills.set(session.slot, deadline);
  }

  /** The client reconnected: cancels the expiry of its session and the deadline of its will. */
  cancelDeadlines(session: Session): void {
    this.#expiry.cancel(session.slot);
    this.#wills.cancel(session.slot);
  }

  /** A session that has expired, or null. */
  pollExpired(now: Millis): Session | null {
    const slot = this.#expiry.poll(now);
    return slot < 0 ? null : this.at(slot);
  }

  /** A session whose will is due, or null. */
  pollWill(now: Millis): Session | null {
    const slot = this.#wills.poll(now);
    return slot < 0 ? null : this.at(slot);
  }

  /** When the next session expires or the next will is due. */
  nextDeadline(): Millis {
    return Math.min(this.#expiry.next(), this.#wills.next()) as Millis;
  }

  all(): Iterable<Session> {
    return this.#byClientId.values();
  }
}
