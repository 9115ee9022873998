/** A client within the process, of MQTT 5.0: what a program that has the broker in itself speaks to it with. */
import type { Limits, Millis, PropertyValues } from "../../core/mod.ts";
import { encodeReason, FAILURE_MIN, FirstByte, NEVER, Reason } from "../../core/mod.ts";
import type { PublishOptions } from "../broker-options.ts";
import { afterInput } from "../captured.ts";
import { checkFunction } from "../checks.ts";
import type { HostLoop, TransportHost } from "../host.ts";
import { awaited } from "./awaited.ts";
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

/** What a client needs of the broker it belongs to. */
export interface ClientHost {
  readonly host: TransportHost;
  readonly loop: HostLoop;
  readonly limits: Limits;
  readonly sessions: ClientSessions;
  /** A subscription identifier that no other SUBSCRIBE has. */
  identifier(): number;
  /** A function of the program failed. */
  failed(error: unknown): void;
}

type FilterAck = Extract<ServerPacket, { type: "suback" | "unsuback" }>;

/** SUBSCRIBE or UNSUBSCRIBE, until it is answered. */
interface Asked {
  resolve(answer: FilterAck): void;
  /** The connection ended first. */
  lost(reason: number): void;
}

/** Connects; rejects with RefusedError where the broker says no, ClosedError where it says nothing. */
export function connectClient(host: ClientHost, options: ConnectOptions): Promise<LocalClient> {
  return new Promise((resolve, reject) => {
    const client: LocalClient = new LocalClient(host, options, (error) =>
      error === null ? resolve(client) : reject(error),
    );
  });
}

export class LocalClient {
  /** Resolves once the connection is over, however it ended. */
  readonly closed: Promise<Closed>;
  readonly #host: ClientHost;
  readonly #options: ConnectOptions;
  readonly #socket: ClientSocket;
  readonly #reader = new PacketReader();
  readonly #asked = new Map<number, Asked>();
  readonly #connected: (error: Error | null) => void;
  #tellClosed!: (closed: Closed) => void;
  #clientId: string;
  #isSessionPresent = false;
  #properties: PropertyValues = {};
  #session!: ClientSession;
  #incoming: Incoming | null = null;
  #outgoing: Outgoing | null = null;
  #lastPacketId = 0;
  #expirySeconds: number;
  #alarm: unknown = null;
  /** How it is to end, once what was asked has been answered. */
  #leaving: Closed | null = null;
  /** Called then. */
  #answered: (() => void) | null = null;
  /** How it is about to end. */
  #closing: Closed | null = null;
  #over: Closed | null = null;

  /** @internal */
  constructor(host: ClientHost, options: ConnectOptions, connected: (error: Error | null) => void) {
    const fields = connectFields(options, host.limits);
    this.#host = host;
    this.#options = options;
    this.#connected = connected;
    this.#clientId = fields.clientId;
    this.#expirySeconds = options.sessionExpirySeconds ?? 0;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    const connect = encodeConnect(fields);
    this.#socket = new ClientSocket(host.host, {
      received: (bytes) => {
        for (const packet of this.#reader.read(bytes)) this.#handle(packet);
        if (this.#answered !== null && this.#isAnswered) this.#answered();
      },
      ended: () => this.#end(this.#closing ?? LOST),
    });
    this.#socket.send(connect);
  }

  /** As it was given, or as the broker made it up. */
  get clientId(): string {
    return this.#clientId;
  }

  /** Whether the broker went on with a session that it had. */
  get sessionPresent(): boolean {
    return this.#isSessionPresent;
  }

  /** What the broker said in its CONNACK. */
  get properties(): PropertyValues {
    return this.#properties;
  }

  get isClosed(): boolean {
    return this.#over !== null;
  }

  /** QoS 0 messages that were dropped because too many waited for a consumer. */
  get dropped(): number {
    return this.#incoming?.dropped ?? 0;
  }

  /**
   * Resolves once the message is acknowledged as its QoS asks, with the reason code; at QoS 0, once the broker
   * has it. Rejects with RefusedError where the broker says no. One whose connection ends first rejects with
   * ClosedError, and is sent again where the session is resumed.
   */
  async publish(
    topic: string,
    payload: Uint8Array | string,
    options: PublishOptions = {},
  ): Promise<PublishResult> {
    const fields = publishFields(topic, payload, options, this.#host.limits);
    this.#mustBeOpen(`publish to ${topic}`);
    const refused = this.#refusal(fields.qos, fields.retain);
    if (refused !== null) throw new RefusedError(`publish to ${topic}`, "CONNACK", refused, {});
    return this.#outgoing!.publish(fields);
  }

  /**
   * Subscribes to one or more filters. The subscription is a stream of messages, for `for await`; or with a
   * function, each message is its argument. Messages of QoS 1 and 2 are acknowledged as they are taken.
   *
   * Of one filter the broker has one subscription, whoever asks. Where several here have it, all get its messages,
   * at the highest QoS that any of them asked for; retained messages come to the one that asked for them.
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
    const wanted = subscribeFields(filters, options, handler, this.#host.limits);
    this.#mustBeOpen(`subscribe to ${wanted.join(", ")}`);
    const incoming = this.#incoming!;
    const subscription: Subscription = incoming.subscription(wanted, handler, () =>
      this.#unsubscribe(wanted, subscription),
    );
    const answers = wanted.map((filter) => {
      const asked = incoming.add(filter, subscription, options);
      const told = asked.map(({ options, identifier }) =>
        this.#ask(`subscribe to ${filter}`, (packetId) =>
          encodeSubscribe(
            packetId,
            filter,
            subscribeOptionsByte(options),
            subscribeProperties(options, identifier),
          ),
        ),
      );
      return Promise.all(told).then((all) => all.at(-1)!);
    });
    const answered = await Promise.all(answers);
    const refused = answered.findIndex(({ reasons }) => reasons[0]! >= FAILURE_MIN);
    if (refused >= 0) {
      await this.#unsubscribe(wanted, subscription);
      const { reasons, properties } = answered[refused]!;
      throw new RefusedError(`subscribe to ${wanted[refused]}`, "SUBACK", reasons[0]!, properties);
    }
    for (const [n, { reasons }] of answered.entries()) {
      subscription.granted.push(reasons[0]!);
      incoming.granted(wanted[n]!, reasons[0]!);
    }
    incoming.claim(subscription);
    return subscription;
  }

  /** Ends what was subscribed with each of these filters. Resolves with a reason code for each. */
  async unsubscribe(filters: string | readonly string[]): Promise<readonly number[]> {
    const texts = filterFields(filters, this.#host.limits);
    this.#mustBeOpen(`unsubscribe from ${texts.join(", ")}`);
    return this.#unsubscribe(texts, null);
  }

  /**
   * What comes for no subscription of this client goes to `handler`: in a session that was resumed, what was
   * subscribed to before. Until then it waits, or until it is subscribed to here.
   */
  onMessage(handler: (message: LocalMessage) => unknown): void {
    checkFunction("handler", handler);
    this.#incoming?.handleUnclaimed(handler);
  }

  /**
   * Ends the connection in order, after what was asked before, which the broker is given a second to answer;
   * resolves once it is over.
   */
  async disconnect(options: DisconnectOptions = {}): Promise<void> {
    const properties = disconnectProperties(options, this.#expirySeconds);
    const { reason = Reason.Success } = options;
    if (this.#ending === null) {
      this.#leaving = { by: "client", reason, properties: {} };
      const answered = awaited((isAnswered) => {
        this.#answered = null;
        this.#leave(reason, properties);
        // A broker that reads no more does not hear of it either.
        if (!isAnswered) afterInput(() => this.#socket.fail());
      });
      if (this.#isAnswered) answered();
      else this.#answered = answered;
    }
    await this.closed;
  }

  /** Cuts the connection off without a word: the broker publishes the will. */
  async abort(): Promise<void> {
    this.#closing ??= { by: "client", reason: Reason.Unspecified, properties: {} };
    this.#socket.fail();
    await this.closed;
  }

  #leave(reason: number, properties: PropertyValues): void {
    if (this.#over !== null || this.#closing !== null) return;
    this.#expirySeconds = properties.SessionExpiryInterval ?? this.#expirySeconds;
    this.#socket.send(encodeReason(FirstByte.Disconnect, reason, properties));
    this.#closing = this.#leaving;
    this.#socket.finish();
  }

  /** Whether all that was asked has been answered. */
  get #isAnswered(): boolean {
    return this.#asked.size === 0 && (this.#outgoing?.unacknowledged ?? 0) === 0;
  }

  /** How it ends, has ended or is about to. */
  get #ending(): Closed | null {
    return this.#over ?? this.#closing ?? this.#leaving;
  }

  #handle(packet: ServerPacket): void {
    if (this.#over !== null || this.#closing?.by === "broker") return;
    switch (packet.type) {
      case "connack":
        this.#accepted(packet);
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
        this.#outgoing?.answered(packet);
        break;
      case "suback":
      case "unsuback":
        this.#asked.get(packet.packetId)?.resolve(packet);
        this.#asked.delete(packet.packetId);
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

  #accepted(packet: Extract<ServerPacket, { type: "connack" }>): void {
    const { reason, properties, sessionPresent } = packet;
    if (reason >= FAILURE_MIN) {
      const what = `connect${this.#clientId === "" ? "" : ` as ${this.#clientId}`}`;
      this.#closing = { by: "broker", reason, properties };
      this.#connected(new RefusedError(what, "CONNACK", reason, properties));
      return;
    }
    const { sessions, loop, failed } = this.#host;
    this.#properties = properties;
    this.#isSessionPresent = sessionPresent;
    this.#clientId = properties.AssignedClientIdentifier ?? this.#clientId;
    this.#expirySeconds = properties.SessionExpiryInterval ?? this.#expirySeconds;
    this.#session = sessions.claim(this.#clientId, sessionPresent, loop.now());
    this.#session.onTakenOver = () => {
      this.#end({ by: "broker", reason: Reason.SessionTakenOver, properties: {} });
    };
    const send = (bytes: Uint8Array, taken?: () => void): void => this.#send(bytes, taken);
    this.#incoming = new Incoming({
      ...{ session: this.#session, isResumed: sessionPresent, send, failed },
      identifier:
        properties.SubscriptionIdentifierAvailable === 0 ? null : () => this.#host.identifier(),
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
    this.#connected(null);
  }

  async #unsubscribe(
    filters: readonly string[],
    subscription: Subscription | null,
  ): Promise<readonly number[]> {
    // Where another subscription has a filter too, the broker hears nothing of it.
    const gone = filters.filter((filter) => this.#incoming!.remove(filter, subscription));
    if (gone.length === 0 || this.#ending !== null) {
      return filters.map(() => Reason.Success);
    }
    const answer = await this.#ask(`unsubscribe from ${gone.join(", ")}`, (packetId) =>
      encodeUnsubscribe(packetId, gone),
    );
    const refused = answer.reasons.find((reason) => reason >= FAILURE_MIN);
    if (refused !== undefined) {
      const what = `unsubscribe from ${gone.join(", ")}`;
      throw new RefusedError(what, "UNSUBACK", refused, answer.properties);
    }
    return filters.map((filter) => answer.reasons[gone.indexOf(filter)] ?? Reason.Success);
  }

  #ask(what: string, encode: (packetId: number) => Uint8Array): Promise<FilterAck> {
    return new Promise((resolve, reject) => {
      const packetId = this.#packetId();
      if (packetId === 0) throw new Error(`${what}: every packet identifier is in use`);
      const packet = encode(packetId);
      const lost = (reason: number): void => reject(new ClosedError(what, reason));
      this.#asked.set(packetId, { resolve, lost });
      this.#send(packet);
    });
  }

  /** Why what the broker said in its CONNACK forbids a publish; it would close the connection. */
  #refusal(qos: number, isRetained: boolean): number | null {
    const { MaximumQoS = 2, RetainAvailable = 1 } = this.#properties;
    if (qos > MaximumQoS) return Reason.QoSNotSupported; // [MQTT-3.2.2-11]
    return isRetained && RetainAvailable === 0 ? Reason.RetainNotSupported : null; // [MQTT-3.2.2-14]
  }

  /** The next that nothing has; 0: all are in use. */
  #packetId(): number {
    for (let n = 0; n < PACKET_IDS; n++) {
      this.#lastPacketId = (this.#lastPacketId % PACKET_IDS) + 1;
      const id = this.#lastPacketId;
      if (!this.#session.outgoing.has(id) && !this.#asked.has(id)) return id;
    }
    return 0;
  }

  #send(packet: Uint8Array, taken?: () => void): void {
    if (this.#over === null && this.#closing === null) this.#socket.send(packet, taken);
  }

  #keepAlive(): void {
    const seconds = this.#properties.ServerKeepAlive ?? this.#options.keepAliveSeconds ?? 0;
    if (seconds === 0) return;
    // Twice as often as asked: the broker may allow no more than what was asked.
    const ping = (): void => {
      this.#send(pingreq);
      this.#alarm = this.#host.loop.setAlarm(ping, seconds * 500);
    };
    this.#alarm = this.#host.loop.setAlarm(ping, seconds * 500);
  }

  #mustBeOpen(what: string): void {
    const ended = this.#ending;
    if (ended !== null) throw new ClosedError(what, ended.reason);
  }

  #end(closed: Closed): void {
    if (this.#over !== null) return;
    this.#over = closed;
    this.#answered?.();
    const { loop, sessions } = this.#host;
    if (this.#alarm !== null) loop.clearAlarm(this.#alarm);
    const { by, reason } = closed;
    if (this.#incoming === null) {
      this.#connected(new ClosedError("connect", reason));
    } else {
      this.#outgoing?.close(reason);
      for (const asked of this.#asked.values()) asked.lost(reason);
      const isExpected = by === "client" || reason === Reason.ServerShuttingDown;
      const lost = isExpected ? null : new ClosedError("subscription", reason);
      this.#incoming.close(lost, this.#expirySeconds > 0);
      const now = loop.now();
      const isForEver = this.#expirySeconds === SECONDS_FOREVER;
      const expiresAt = isForEver ? NEVER : ((now + this.#expirySeconds * 1000) as Millis);
      sessions.leave(this.#clientId, this.#session, expiresAt, now);
    }
    this.#tellClosed(closed);
  }
}

const LOST: Closed = { by: "transport", reason: Reason.Unspecified, properties: {} };
/** Where CONNACK says nothing, MQTT 5.0 §3.2.2.3.3. */
const RECEIVE_MAXIMUM = 65_535;
const PACKET_IDS = 65_535;
const SECONDS_FOREVER = 0xffff_ffff;
