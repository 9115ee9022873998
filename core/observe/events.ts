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
      /** Whether it says that it is a bridge, another broker, by the top bit of the level byte. */
      readonly isBridge: boolean;
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
      /**
       * Unspecified is a transport that just ended; MaximumConnectTime is one whose CONNECT did not come in time.
       */
      readonly reason: ReasonCode;
      /** Whether a CONNECT came. A health check or a port scan ends its transport before, or sends something else. */
      readonly hasConnect: boolean;
    }
  /**
   * A client was refused a subscription, a publish, its will, or that a message of its is retained. At most
   * `DENIED_MAX` of them wait to be polled, so that a flood of them pushes out no other event.
   */
  | {
      readonly kind: "denied";
      /** Empty where the client asked for one, and for what the program publishes. */
      readonly clientId: string;
      /** Null where the client is gone, such as one whose will is published. */
      readonly info: ConnInfo | null;
      readonly action: "subscribe" | "publish" | "retain" | "will";
      /** The topic name, or the topic filter of a subscription. */
      readonly topic: string;
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
  /** Refusals since the ring was last empty. */
  #deniedCount = 0;
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

  /** Like `push`, but the newest is dropped where too many wait. */
  pushDenied(event: DeniedEvent): void {
    if (++this.#deniedCount > DENIED_MAX) this.#counters[Counter.eventsDropped]!++;
    else this.push(event);
  }

  poll(): BrokerEvent | null {
    if (this.#head === this.#events.length) return null;
    const event = this.#events[this.#head++]!;
    // Compacted now and then, so that a poll costs the same however many wait.
    if (this.#head === this.#events.length) {
      this.#events = [];
      this.#head = 0;
      // Here, and not at a poll of no event, which no recording has: a replay would drop other events.
      this.#deniedCount = 0;
    } else if (this.#head >= 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
    return event;
  }
}

type DeniedEvent = Extract<BrokerEvent, { kind: "denied" }>;
/** Most refusals between two drains of the events. Few: they are for people. */
const DENIED_MAX = 256;
