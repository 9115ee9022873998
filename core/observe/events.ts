/** Control-plane news, for logs and hooks: a bounded ring, oldest dropped first and counted. */
import type { ConnId, ConnInfo, PropertyValues, ProtocolLevel, QoS } from "../boundary.ts";
import type { ReasonCode } from "../reason.ts";
import { Counter } from "./counters.ts";

export type BrokerEvent =
  | {
      readonly kind: "connected";
      readonly conn: ConnId;
      readonly clientId: string;
      readonly level: ProtocolLevel;
      readonly info: ConnInfo;
      readonly username: string | null;
      readonly sessionPresent: boolean;
    }
  /** A connection that had been accepted ended. */
  | {
      readonly kind: "disconnected";
      readonly conn: ConnId;
      readonly clientId: string;
      /** Success is a DISCONNECT in order; Unspecified is a transport that just ended. */
      readonly reason: ReasonCode;
    }
  /** A connection ended, or was refused, before it was accepted. `clientId` is empty if none was read. */
  | {
      readonly kind: "refused";
      readonly conn: ConnId;
      readonly clientId: string;
      readonly info: ConnInfo;
      readonly reason: ReasonCode;
    }
  | {
      readonly kind: "subscribed";
      readonly clientId: string;
      readonly filter: string;
      readonly qos: QoS;
    }
  | { readonly kind: "unsubscribed"; readonly clientId: string; readonly filter: string }
  /** Only while observed (the `observe` command). `payload` is a copy. */
  | {
      readonly kind: "published";
      /** Empty for what the broker or its host publishes. */
      readonly clientId: string;
      readonly topic: string;
      readonly payload: Uint8Array;
      readonly qos: QoS;
      readonly retain: boolean;
      /** Those that receivers get, of MQTT 5.0. */
      readonly properties: PropertyValues;
    };

export class Events {
  readonly #max: number;
  readonly #counters: Float64Array;
  #events: BrokerEvent[] = [];
  #head = 0;
  /** Whether `published` events are wanted. */
  publishes = false;

  constructor(max: number, counters: Float64Array) {
    this.#max = max;
    this.#counters = counters;
  }

  push(event: BrokerEvent): void {
    if (this.#events.length - this.#head >= this.#max) {
      this.#counters[Counter.eventsDropped]!++;
      if (this.#max === 0) return;
      this.poll();
    }
    this.#events.push(event);
  }

  poll(): BrokerEvent | null {
    if (this.#head === this.#events.length) return null;
    const event = this.#events[this.#head++]!;
    // Compacted now and then, so that a poll costs the same however many wait.
    if (this.#head === this.#events.length) {
      this.#events = [];
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
    return event;
  }
}
