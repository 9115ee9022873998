/**
 * The session state of a client that survives its connection, MQTT 5.0 §4.1: publishes that the broker has not
 * acknowledged, and QoS 2 messages that the client received and the broker has not released.
 */
import type { Millis, PropertyValues, QoS } from "../../core/mod.ts";
import { NEVER } from "../../core/mod.ts";

/** A publish at QoS 1 or 2 that the broker has not acknowledged. */
export interface OutgoingMessage {
  readonly packetId: number;
  readonly qos: QoS;
  readonly packet: Uint8Array;
  /** PUBREC was received, so PUBREL is resent instead of PUBLISH. */
  isReceived: boolean;
  /** Reports the acknowledgement to the publisher; null: the publisher's connection has ended. */
  settle:
    | ((packet: "PUBACK" | "PUBREC", reason: number, properties: PropertyValues) => void)
    | null;
}

export class ClientSession {
  /** By packet identifier, in the order in which they were sent. */
  readonly outgoing: Map<number, OutgoingMessage> = new Map();
  /** Packet identifiers of QoS 2 messages that were received and not yet released. */
  readonly received: Set<number> = new Set();
  /** Called when another client takes the session over. */
  onTakenOver: (() => void) | null = null;
  expiresAt: Millis = NEVER;

  get isEmpty(): boolean {
    return this.outgoing.size === 0 && this.received.size === 0;
  }
}

/** Sessions by client identifier: those of connected clients, and others that are not empty. */
export class ClientSessions {
  readonly #sessions = new Map<string, ClientSession>();

  /** The session for a connected client. It is a new one if the broker had no session. */
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

  /** The connection of the session's client has ended. The broker keeps the session until `expiresAt`. */
  leave(clientId: string, session: ClientSession, expiresAt: Millis, now: Millis): void {
    if (this.#sessions.get(clientId) !== session) return;
    session.onTakenOver = null;
    session.expiresAt = expiresAt;
    if (session.isEmpty || expiresAt <= now) this.#sessions.delete(clientId);
  }
}
