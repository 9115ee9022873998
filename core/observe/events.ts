/**
 * Control-plane events for logs and hooks: a bounded queue that drops the oldest event and counts
 * it.
 */
import type { ConnId, ConnInfo, PropertyValues, ProtocolLevel, QoS } from "../boundary.ts";
import type { ReasonCode } from "../reason.ts";
import { Counter } from "./counters.ts";

export type BrokerEvent =
  | {
      readonly kind: "connected";
      readonly conn: ConnId;
      readonly clientId: string;
      readonly level: ProtocolLevel;
      /** Whether the client declares itself a bridge, by the top bit of the level byte. */
      readonly isBridge: boolean;
      readonly info: ConnInfo;
      readonly username: string | null;
      readonly sessionPresent: boolean;
    }
  /** An accepted connection ended. */
  | {
      readonly kind: "disconnected";
      readonly conn: ConnId;
      readonly clientId: string;
      /** Success: the client sent DISCONNECT. Unspecified: the transport closed without one. */
      readonly reason: ReasonCode;
    }
  /**
   * A connection ended or was refused before it was accepted. `clientId` is empty if none was
   * received.
   */
  | {
      readonly kind: "refused";
      readonly conn: ConnId;
      readonly clientId: string;
      readonly info: ConnInfo;
      /** Unspecified: the transport closed. MaximumConnectTime: no CONNECT arrived in time. */
      readonly reason: ReasonCode;
      /**
       * Whether a CONNECT was received. Health checks and port scans close their transport first or
       * send something else.
       */
      readonly hasConnect: boolean;
    }
  /**
   * A client was denied a subscription, a publish, its will, or the retention of its message. At
   * most `DENIED_MAX` of these events wait to be polled, so that a flood of them cannot displace
   * other events.
   */
  | {
      readonly kind: "denied";
      /** Empty if the broker was to assign the identifier, and for messages of the host program. */
      readonly clientId: string;
      /** Null if the client's connection has ended, for example when its will is published. */
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
  /** A queued message was to be loaded, and the store does not have it: its deliveries are dropped. */
  | {
      readonly kind: "messageLost";
      /** The client that the message was to be loaded for. */
      readonly clientId: string;
      /** The number of the message in the store. */
      readonly number: number;
    }
  /** Only while observed (`observe` command). `payload` is a copy. */
  | {
      readonly kind: "published";
      /** Empty for messages of the broker and its host program. */
      readonly clientId: string;
      readonly topic: string;
      readonly payload: Uint8Array;
      readonly qos: QoS;
      readonly retain: boolean;
      /** The MQTT 5.0 properties that receivers get. */
      readonly properties: PropertyValues;
    };

export class Events {
  readonly #max: number;
  readonly #counters: Float64Array;
  #events: BrokerEvent[] = [];
  #head = 0;
  /** Denials since the queue was last empty. */
  #deniedCount = 0;
  /** Whether publishes are reported as `published` events. */
  observesPublishes = false;

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

  /** Like `push`, but drops the newest event if too many denials wait. */
  pushDenied(event: DeniedEvent): void {
    if (++this.#deniedCount > DENIED_MAX) this.#counters[Counter.eventsDropped]!++;
    else this.push(event);
  }

  poll(): BrokerEvent | null {
    if (this.#head === this.#events.length) return null;
    const event = this.#events[this.#head++]!;
    // Compacted from time to time, so that a poll costs the same however many events wait.
    if (this.#head === this.#events.length) {
      this.#events = [];
      this.#head = 0;
      // Reset here and not when a poll finds no event: such polls are not recorded, and a replay
      // would drop other events.
      this.#deniedCount = 0;
    } else if (this.#head >= 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
    return event;
  }
}

type DeniedEvent = Extract<BrokerEvent, { kind: "denied" }>;
/** Maximum denials between two drains of the events. Few, because people read them. */
const DENIED_MAX = 256;
