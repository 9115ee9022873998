/** The options and results of a client within the process. */
import type { PropertyValues, QoS } from "../../core/mod.ts";
import type { MessageProperties } from "../broker-options.ts";

export interface ConnectOptions {
  /** Default: the broker assigns a client identifier. */
  readonly clientId?: string;
  /** False resumes the session of `clientId` if the broker has it. Default: true. */
  readonly cleanStart?: boolean;
  /** How long the broker keeps the session after the end of the connection. Default: 0. */
  readonly sessionExpirySeconds?: number;
  /** The client sends PINGREQ in time. 0 disables keep alive. Default: 0. */
  readonly keepAliveSeconds?: number;
  readonly username?: string;
  readonly password?: string | Uint8Array;
  readonly will?: WillOptions;
  /** Maximum QoS 1 and 2 messages that the broker sends before the client acknowledges. Default: 65 535. */
  readonly receiveMaximum?: number;
  /** Other properties of CONNECT, by their names in the specification. */
  readonly properties?: ConnectProperties;
  /** Maximum QoS 0 messages that wait for one consumer. Beyond it, new messages are dropped and counted. Default: 1000. */
  readonly queuedMessagesMax?: number;
  /** Maximum payload bytes of these messages. Default: 8 MiB. */
  readonly queuedBytesMax?: number;
}

export type ConnectProperties = Pick<
  PropertyValues,
  "MaximumPacketSize" | "RequestProblemInformation" | "RequestResponseInformation" | "UserProperty"
>;

export interface WillOptions {
  readonly topic: string;
  readonly payload?: string | Uint8Array;
  /** Default: 0. */
  readonly qos?: QoS;
  readonly retain?: boolean;
  /** The time from the end of the connection to the publication of the will. Default: 0. */
  readonly delaySeconds?: number;
  readonly properties?: MessageProperties;
}

export interface SubscribeOptions {
  /** The maximum QoS at which messages are delivered. Default: 0. */
  readonly qos?: QoS;
  /** Whether messages that this client publishes are not delivered to it. */
  readonly noLocal?: boolean;
  /** Whether messages keep the RETAIN flag of their publisher. */
  readonly retainAsPublished?: boolean;
  /** When retained messages are sent: 0 always, 1 only for a new subscription, 2 never. Default: 0. */
  readonly retainHandling?: 0 | 1 | 2;
  /** Appears in the properties of the subscription's messages. From 1 to 134 217 727. */
  readonly subscriptionIdentifier?: number;
  readonly userProperty?: PropertyValues["UserProperty"];
}

export interface DisconnectOptions {
  /** With 0x04 the broker publishes the will. Default: 0. */
  readonly reason?: number;
  readonly properties?: Pick<
    PropertyValues,
    "SessionExpiryInterval" | "ReasonString" | "UserProperty"
  >;
}

/** A received message. */
export interface LocalMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: QoS;
  readonly retain: boolean;
  /** The message may have been delivered before. */
  readonly dup: boolean;
  readonly properties: PropertyValues;
}

/** The result of a publish: the acknowledgement of its QoS. At QoS 0, the broker has read the message. */
export interface PublishResult {
  /** Below 0x80: 0, or 0x10 if the topic has no subscribers. */
  readonly reason: number;
  readonly properties: PropertyValues;
}

/** How a connection ended. */
export interface Closed {
  /** The side that ended the connection: this client, the broker with a DISCONNECT, or the transport. */
  readonly by: "client" | "broker" | "transport";
  /** The reason code of the DISCONNECT; 0x80 without one. */
  readonly reason: number;
  readonly properties: PropertyValues;
}

/** Called with each message. If it returns a promise, the next message waits until the promise has settled. */
export type MessageHandler = (message: LocalMessage) => unknown;
