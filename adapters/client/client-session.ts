/**
 * What a client has to remember of a session from one connection to the next, MQTT 5.0 §4.1: what it sent
 * and the broker has not confirmed, and what it took at QoS 2 and the broker has not released.
 */
import type { Millis, PropertyValues, QoS } from "../../core/mod.ts";
import { NEVER } from "../../core/mod.ts";

/** A publish at QoS 1 or 2 that is under way. */
export interface Outgoing {
  readonly packetId: number;
  readonly qos: QoS;
  readonly packet: Uint8Array;
  /** PUBREC came: PUBREL is what is sent again. */
  isReceived: boolean;
  /** Tells who published, while that client is there. */
  settle:
    | ((packet: "PUBACK" | "PUBREC", reason: number, properties: PropertyValues) => void)
    | null;
}

export class ClientSession {
  /** By packet identifier, in the order they were sent in. */
  readonly outgoing: Map<number, Outgoing> = new Map();
  /** Packet identifiers of QoS 2 messages that were taken and not yet released. */
  readonly received: Set<number> = new Set();
  /** Told when another client goes on with the session. */
  onTakenOver: (() => void) | null = null;
  expiresAt: Millis = NEVER;

  get isEmpty(): boolean {
    return this.outgoing.size === 0 && this.received.size === 0;
  }
}

/** Sessions by client identifier: of who is connected, and of who has something unfinished. */
export class ClientSessions {
  readonly #sessions = new Map<string, ClientSession>();

  /** The session that a client goes on with; a new one where the broker has none of it. */
  claim(clientId: string, isPresent: boolean, now: Millis): ClientSession {
    for (const [id, { expiresAt }] of this.#sessions) {
      if (expiresAt <= now) this.#sessions.delete(id);
    }
    const before = this.#sessions.get(clientId);
    before?.onTakenOver?.();
    const session = isPresent && before !== undefined ? before : new ClientSession();
    session.onTakenOver = null;
    session.expiresAt = NEVER;
    this.#sessions.set(clientId, session);
    return session;
  }

  /** Its client is gone; the broker keeps the session until `expiresAt`. */
  leave(clientId: string, session: ClientSession, expiresAt: Millis, now: Millis): void {
    if (this.#sessions.get(clientId) !== session) return;
    session.onTakenOver = null;
    session.expiresAt = expiresAt;
    if (session.isEmpty || expiresAt <= now) this.#sessions.delete(clientId);
  }
}
