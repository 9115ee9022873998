/** What a client within the process is asked, and what it answers. */
import type { PropertyValues, QoS } from "../../core/mod.ts";
import type { MessageProperties } from "../broker-options.ts";

export interface ConnectOptions {
  /** Default: one that the broker makes up. */
  readonly clientId?: string;
  /** False goes on with the session that the broker has of `clientId`. Default: true. */
  readonly cleanStart?: boolean;
  /** How long the broker keeps the session once the client is away. Default: 0. */
  readonly sessionExpirySeconds?: number;
  /** 0 is none. The client says in time that it is there. Default: 0. */
  readonly keepAliveSeconds?: number;
  readonly username?: string;
  readonly password?: string | Uint8Array;
  readonly will?: WillOptions;
  /** Most QoS 1 and 2 messages that the client has and has not acknowledged. Default: 65 535. */
  readonly receiveMaximum?: number;
  /** Other properties of CONNECT, by the names the specification has for them. */
  readonly properties?: ConnectProperties;
  /** Most QoS 0 messages that wait for one consumer; newest dropped beyond, and counted. Default: 1000. */
  readonly queuedMessagesMax?: number;
  /** Most bytes of them. Default: 8 MiB. */
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
  /** How long after the end of the connection it is published. Default: 0. */
  readonly delaySeconds?: number;
  readonly properties?: MessageProperties;
}

export interface SubscribeOptions {
  /** The highest QoS to be sent at. Default: 0. */
  readonly qos?: QoS;
  /** Whether what this client publishes itself is left out. */
  readonly noLocal?: boolean;
  /** Whether messages keep the RETAIN they were published with. */
  readonly retainAsPublished?: boolean;
  /** Retained messages are sent: 0 always, 1 where the subscription is new, 2 never. Default: 0. */
  readonly retainHandling?: 0 | 1 | 2;
  /** Shown in the properties of what comes. From 1 to 134 217 727. */
  readonly subscriptionIdentifier?: number;
  readonly userProperty?: PropertyValues["UserProperty"];
}

export interface DisconnectOptions {
  /** 0x04 has the will published. Default: 0. */
  readonly reason?: number;
  readonly properties?: Pick<
    PropertyValues,
    "SessionExpiryInterval" | "ReasonString" | "UserProperty"
  >;
}

/** A message that came. */
export interface LocalMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: QoS;
  readonly retain: boolean;
  /** It may have come before. */
  readonly dup: boolean;
  readonly properties: PropertyValues;
}

/** A message that was acknowledged as its QoS asks; at QoS 0, handed over. */
export interface PublishResult {
  /** Below 0x80: 0, or 0x10 where nobody subscribes. */
  readonly reason: number;
  readonly properties: PropertyValues;
}

/** How a connection ended. */
export interface Closed {
  /** Who ended it: this client, the broker with a DISCONNECT, or the transport. */
  readonly by: "client" | "broker" | "transport";
  /** Of the DISCONNECT; 0x80 where there was none. */
  readonly reason: number;
  readonly properties: PropertyValues;
}

/** Called with each message; the next comes once what it returns has settled. */
export type MessageHandler = (message: LocalMessage) => unknown;
