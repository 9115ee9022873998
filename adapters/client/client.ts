/** An MQTT 5.0 client within the process of the broker. */
import type { Limits, Millis, PropertyValues } from "../../core/mod.ts";
import { encodeReason, FAILURE_MIN, FirstByte, NEVER, Reason } from "../../core/mod.ts";
import type { PublishOptions } from "../broker-options.ts";
import { afterInput } from "../captured.ts";
import { checkFunction } from "../checks.ts";
import type { HostLoop, TransportHost } from "../host.ts";
import type {
  Closed,
  ConnectOptions,
  DisconnectOptions,
  LocalMessage,
  MessageHandler,
  PublishResult,
  SubscribeOptions,
} from "./client-api.ts";
import {
  connectFields,
  disconnectProperties,
  filterFields,
  publishFields,
  queueLimits,
  subscribeFields,
  subscribeOptionsByte,
  subscribeProperties,
} from "./client-fields.ts";
import type { ClientSession, ClientSessions } from "./client-session.ts";
import { ClientSocket } from "./client-socket.ts";
import { ClosedError, RefusedError } from "./errors.ts";
import { Incoming } from "./incoming.ts";
import { Outgoing } from "./outgoing.ts";
import type { ServerPacket } from "./packets.ts";
import {
  encodeConnect,
  encodeSubscribe,
  encodeUnsubscribe,
  PacketReader,
  pingreq,
} from "./packets.ts";
import type { Subscription } from "./subscription.ts";
import { timeLimited } from "./time-limited.ts";

/** The part of a broker that its clients use. */
export interface ClientHost {
  readonly host: TransportHost;
  readonly loop: HostLoop;
  readonly limits: Limits;
  readonly sessions: ClientSessions;
  /** Returns an unused Subscription Identifier. */
  newIdentifier(): number;
  /** Handles an error that a function of the program threw. */
  handleError(error: unknown): void;
}

type FilterAck = Extract<ServerPacket, { type: "suback" | "unsuback" }>;

/** A SUBSCRIBE or UNSUBSCRIBE that is not acknowledged. */
interface PendingRequest {
  resolve(ack: FilterAck): void;
  /** The connection has ended. */
  reject(reason: number): void;
}

/** Connects. Rejects with RefusedError if the broker refuses, with ClosedError if the connection ends without a CONNACK. */
export function connectClient(host: ClientHost, options: ConnectOptions): Promise<LocalClient> {
  return new Promise((resolve, reject) => {
    const client: LocalClient = new LocalClient(host, options, (error) =>
      error === null ? resolve(client) : reject(error),
    );
  });
}

export class LocalClient {
  /** Resolves when the connection has ended. It never rejects. */
  readonly closed: Promise<Closed>;
  readonly #host: ClientHost;
  readonly #options: ConnectOptions;
  readonly #socket: ClientSocket;
  readonly #reader = new PacketReader();
  /** By packet identifier. */
  readonly #requests = new Map<number, PendingRequest>();
  readonly #onConnected: (error: Error | null) => void;
  #resolveClosed!: (closed: Closed) => void;
  #clientId: string;
  #isSessionPresent = false;
  #properties: PropertyValues = {};
  #session!: ClientSession;
  #incoming: Incoming | null = null;
  #outgoing: Outgoing | null = null;
  #lastPacketId = 0;
  #expirySeconds: number;
  #alarm: unknown = null;
  /** The end that `disconnect` requested. DISCONNECT waits for the acknowledgement of earlier requests. */
  #disconnecting: Closed | null = null;
  /** Called when the broker has acknowledged all requests. */
  #onAcknowledged: (() => void) | null = null;
  /** The end of the connection, before the transport has ended. */
  #closing: Closed | null = null;
  #ended: Closed | null = null;

  /** @internal */
  constructor(
    host: ClientHost,
    options: ConnectOptions,
    onConnected: (error: Error | null) => void,
  ) {
    const fields = connectFields(options, host.limits);
    this.#host = host;
    this.#options = options;
    this.#onConnected = onConnected;
    this.#clientId = fields.clientId;
    this.#expirySeconds = options.sessionExpirySeconds ?? 0;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const connect = encodeConnect(fields);
    this.#socket = new ClientSocket(host.host, {
      received: (bytes) => {
        for (const packet of this.#reader.read(bytes)) this.#handle(packet);
        if (this.#onAcknowledged !== null && this.#isAcknowledged) this.#onAcknowledged();
      },
      ended: () => this.#end(this.#closing ?? CONNECTION_LOST),
    });
    this.#socket.send(connect);
  }

  /** The client identifier that the program set or the broker assigned. */
  get clientId(): string {
    return this.#clientId;
  }

  /** Whether the broker resumed a session. */
  get sessionPresent(): boolean {
    return this.#isSessionPresent;
  }

  /** The properties of the CONNACK. */
  get properties(): PropertyValues {
    return this.#properties;
  }

  get isClosed(): boolean {
    return this.#ended !== null;
  }

  /** The number of QoS 0 messages that were dropped because too many waited for a consumer. */
  get dropped(): number {
    return this.#incoming?.dropped ?? 0;
  }

  /**
   * Publishes a message. Resolves with the reason code when the broker has acknowledged the message, or at QoS 0 when it has read
   * it. Rejects with RefusedError if the broker refuses. Rejects with ClosedError if the connection ends first; a QoS 1 or 2
   * message is then resent if the session is resumed.
   */
  async publish(
    topic: string,
    payload: Uint8Array | string,
    options: PublishOptions = {},
  ): Promise<PublishResult> {
    const fields = publishFields(topic, payload, options, this.#host.limits);
    this.#checkOpen(`publish to ${topic}`);
    const refused = this.#refusal(fields.qos, fields.retain);
    if (refused !== null) throw new RefusedError(`publish to ${topic}`, "CONNACK", refused, {});
    return this.#outgoing!.publish(fields);
  }

  /**
   * Subscribes to one or more filters. The subscription is a stream of messages for `for await`. With a handler, each message is
   * passed to the handler. Messages at QoS 1 and 2 are acknowledged when they are consumed.
   *
   * The broker has one subscription for each filter of a client. If several subscriptions of a client have the same filter, all get
   * its messages, at the highest requested QoS. Retained messages go to the subscription that requested them.
   */
  subscribe(filters: string | readonly string[], handler: MessageHandler): Promise<Subscription>;
  subscribe(
    filters: string | readonly string[],
    options?: SubscribeOptions,
    handler?: MessageHandler,
  ): Promise<Subscription>;
  async subscribe(
    filters: string | readonly string[],
    given: SubscribeOptions | MessageHandler = {},
    otherwise?: MessageHandler,
  ): Promise<Subscription> {
    const options = typeof given === "function" ? {} : given;
    const handler = typeof given === "function" ? given : (otherwise ?? null);
    const list = subscribeFields(filters, options, handler, this.#host.limits);
    this.#checkOpen(`subscribe to ${list.join(", ")}`);
    const incoming = this.#incoming!;
    const subscription: Subscription = incoming.subscription(list, handler, () =>
      this.#unsubscribe(list, subscription),
    );
    const acks = await Promise.all(
      list.map(async (filter) => {
        const requests = incoming.add(filter, subscription, options);
        const acks = requests.map(({ options, identifier }) =>
          this.#request(`subscribe to ${filter}`, (packetId) =>
            encodeSubscribe(
              packetId,
              filter,
              subscribeOptionsByte(options),
              subscribeProperties(options, identifier),
            ),
          ),
        );
        return (await Promise.all(acks)).at(-1)!;
      }),
    );
    const refused = acks.findIndex(({ reasons }) => reasons[0]! >= FAILURE_MIN);
    if (refused >= 0) {
      await this.#unsubscribe(list, subscription);
      const { reasons, properties } = acks[refused]!;
      throw new RefusedError(`subscribe to ${list[refused]}`, "SUBACK", reasons[0]!, properties);
    }
    for (const [n, { reasons }] of acks.entries()) {
      subscription.granted.push(reasons[0]!);
      incoming.granted(list[n]!, reasons[0]!);
    }
    incoming.claim(subscription);
    return subscription;
  }

  /** Removes the filters from all subscriptions of the client. Resolves with a reason code for each filter. */
  async unsubscribe(filters: string | readonly string[]): Promise<readonly number[]> {
    const list = filterFields(filters, this.#host.limits);
    this.#checkOpen(`unsubscribe from ${list.join(", ")}`);
    return this.#unsubscribe(list, null);
  }

  /**
   * Sets the handler of messages for no subscription of this client. In a resumed session these are messages for subscriptions of
   * earlier connections. They wait until there is a handler or a matching subscription.
   */
  onMessage(handler: (message: LocalMessage) => unknown): void {
    checkFunction("handler", handler);
    this.#incoming?.handleUnclaimed(handler);
  }

  /**
   * Sends DISCONNECT when the broker has acknowledged all earlier requests, at the latest after a second. Resolves when the
   * connection has ended.
   */
  async disconnect(options: DisconnectOptions = {}): Promise<void> {
    const properties = disconnectProperties(options, this.#expirySeconds);
    const { reason = Reason.Success } = options;
    if (this.#ending === null) {
      this.#disconnecting = { by: "client", reason, properties: {} };
      const onAcknowledged = timeLimited((isInTime) => {
        this.#onAcknowledged = null;
        this.#sendDisconnect(reason, properties);
        // A broker that reads no more would not read the DISCONNECT either.
        if (!isInTime) afterInput(() => this.#socket.fail());
      });
      if (this.#isAcknowledged) onAcknowledged();
      else this.#onAcknowledged = onAcknowledged;
    }
    await this.closed;
  }

  /** Ends the connection without DISCONNECT, so that the broker publishes the will. */
  async abort(): Promise<void> {
    this.#closing ??= { by: "client", reason: Reason.Unspecified, properties: {} };
    this.#socket.fail();
    await this.closed;
  }

  #sendDisconnect(reason: number, properties: PropertyValues): void {
    if (this.#ended !== null || this.#closing !== null) return;
    this.#expirySeconds = properties.SessionExpiryInterval ?? this.#expirySeconds;
    this.#socket.send(encodeReason(FirstByte.Disconnect, reason, properties));
    this.#closing = this.#disconnecting;
    this.#socket.finish();
  }

  /** Whether the broker has acknowledged all requests. */
  get #isAcknowledged(): boolean {
    return this.#requests.size === 0 && (this.#outgoing?.unacknowledgedCount ?? 0) === 0;
  }

  /** The end of the connection, also if it is still to come; null: the connection stays open. */
  get #ending(): Closed | null {
    return this.#ended ?? this.#closing ?? this.#disconnecting;
  }

  #handle(packet: ServerPacket): void {
    if (this.#ended !== null || this.#closing?.by === "broker") return;
    switch (packet.type) {
      case "connack":
        this.#handleConnack(packet);
        break;
      case "publish":
        this.#incoming?.published(packet);
        break;
      case "pubrel":
        this.#incoming?.released(packet.packetId);
        break;
      case "puback":
      case "pubrec":
      case "pubcomp":
        this.#outgoing?.handleAck(packet);
        break;
      case "suback":
      case "unsuback":
        this.#requests.get(packet.packetId)?.resolve(packet);
        this.#requests.delete(packet.packetId);
        break;
      case "disconnect": {
        const { reason, properties } = packet;
        this.#closing = { by: "broker", reason, properties };
        break;
      }
      case "auth":
      case "pingresp":
        break;
    }
  }

  #handleConnack(packet: Extract<ServerPacket, { type: "connack" }>): void {
    const { reason, properties, sessionPresent } = packet;
    if (reason >= FAILURE_MIN) {
      const action = `connect${this.#clientId === "" ? "" : ` as ${this.#clientId}`}`;
      this.#closing = { by: "broker", reason, properties };
      this.#onConnected(new RefusedError(action, "CONNACK", reason, properties));
      return;
    }
    const { sessions, loop, handleError } = this.#host;
    this.#properties = properties;
    this.#isSessionPresent = sessionPresent;
    this.#clientId = properties.AssignedClientIdentifier ?? this.#clientId;
    this.#expirySeconds = properties.SessionExpiryInterval ?? this.#expirySeconds;
    this.#session = sessions.claim(this.#clientId, sessionPresent, loop.now());
    this.#session.onTakenOver = () => {
      this.#end({ by: "broker", reason: Reason.SessionTakenOver, properties: {} });
    };
    const send = (bytes: Uint8Array, onRead?: () => void): void => this.#send(bytes, onRead);
    this.#incoming = new Incoming({
      ...{ session: this.#session, isResumed: sessionPresent, send, handleError },
      newIdentifier:
        properties.SubscriptionIdentifierAvailable === 0 ? null : () => this.#host.newIdentifier(),
      ...queueLimits(this.#options),
    });
    const outgoing = new Outgoing({
      session: this.#session,
      receiveMaximum: properties.ReceiveMaximum ?? RECEIVE_MAXIMUM,
      packetBytesMax: properties.MaximumPacketSize ?? Number.POSITIVE_INFINITY,
      packetId: () => this.#packetId(),
      send,
    });
    this.#outgoing = outgoing;
    outgoing.resume();
    this.#keepAlive();
    this.#onConnected(null);
  }

  async #unsubscribe(
    filters: readonly string[],
    subscription: Subscription | null,
  ): Promise<readonly number[]> {
    // No UNSUBSCRIBE for filters that other subscriptions of this client have too.
    const unused = filters.filter((filter) => this.#incoming!.remove(filter, subscription));
    if (unused.length === 0 || this.#ending !== null) return filters.map(() => Reason.Success);
    const action = `unsubscribe from ${unused.join(", ")}`;
    const ack = await this.#request(action, (packetId) => encodeUnsubscribe(packetId, unused));
    const refused = ack.reasons.find((reason) => reason >= FAILURE_MIN);
    if (refused !== undefined) throw new RefusedError(action, "UNSUBACK", refused, ack.properties);
    return filters.map((filter) => ack.reasons[unused.indexOf(filter)] ?? Reason.Success);
  }

  #request(action: string, encode: (packetId: number) => Uint8Array): Promise<FilterAck> {
    return new Promise((resolve, reject) => {
      const packetId = this.#packetId();
      if (packetId === 0) throw new Error(`${action}: every packet identifier is in use`);
      const packet = encode(packetId);
      const lost = (reason: number): void => reject(new ClosedError(action, reason));
      this.#requests.set(packetId, { resolve, reject: lost });
      this.#send(packet);
    });
  }

  /** Why the CONNACK forbids a publish, for which the broker would end the connection; null: it allows the publish. */
  #refusal(qos: number, isRetained: boolean): number | null {
    const { MaximumQoS = 2, RetainAvailable = 1 } = this.#properties;
    if (qos > MaximumQoS) return Reason.QoSNotSupported; // [MQTT-3.2.2-11]
    return isRetained && RetainAvailable === 0 ? Reason.RetainNotSupported : null; // [MQTT-3.2.2-14]
  }

  /** The next free packet identifier; 0: all are in use. */
  #packetId(): number {
    for (let n = 0; n < PACKET_IDS; n++) {
      this.#lastPacketId = (this.#lastPacketId % PACKET_IDS) + 1;
      const id = this.#lastPacketId;
      if (!this.#session.outgoing.has(id) && !this.#requests.has(id)) return id;
    }
    return 0;
  }

  #send(packet: Uint8Array, onRead?: () => void): void {
    if (this.#ended === null && this.#closing === null) this.#socket.send(packet, onRead);
  }

  #keepAlive(): void {
    const seconds = this.#properties.ServerKeepAlive ?? this.#options.keepAliveSeconds ?? 0;
    if (seconds === 0) return;
    // Twice in each interval, because the broker may disconnect soon after the end of an interval.
    const ping = (): void => {
      this.#send(pingreq);
      this.#alarm = this.#host.loop.setAlarm(ping, seconds * 500);
    };
    this.#alarm = this.#host.loop.setAlarm(ping, seconds * 500);
  }

  #checkOpen(action: string): void {
    const ending = this.#ending;
    if (ending !== null) throw new ClosedError(action, ending.reason);
  }

  #end(closed: Closed): void {
    if (this.#ended !== null) return;
    this.#ended = closed;
    this.#onAcknowledged?.();
    const { loop, sessions } = this.#host;
    if (this.#alarm !== null) loop.clearAlarm(this.#alarm);
    const { by, reason } = closed;
    if (this.#incoming === null) {
      this.#onConnected(new ClosedError("connect", reason));
    } else {
      this.#outgoing?.close(reason);
      for (const request of this.#requests.values()) request.reject(reason);
      const isExpected = by === "client" || reason === Reason.ServerShuttingDown;
      const error = isExpected ? null : new ClosedError("subscription", reason);
      this.#incoming.close(error, this.#expirySeconds > 0);
      const now = loop.now();
      const isForever = this.#expirySeconds === SECONDS_FOREVER;
      const expiresAt = isForever ? NEVER : ((now + this.#expirySeconds * 1000) as Millis);
      sessions.leave(this.#clientId, this.#session, expiresAt, now);
    }
    this.#resolveClosed(closed);
  }
}

const CONNECTION_LOST: Closed = { by: "transport", reason: Reason.Unspecified, properties: {} };
/** The default of Receive Maximum, MQTT 5.0 §3.2.2.3.3. */
const RECEIVE_MAXIMUM = 65_535;
const PACKET_IDS = 65_535;
const SECONDS_FOREVER = 0xffff_ffff;
