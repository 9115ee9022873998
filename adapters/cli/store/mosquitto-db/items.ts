/**
 * Makes lines of an export of mosquitto's persistence file.
 *
 * mosquitto publishes a QoS 2 message when its publisher releases it, sansmq when it receives it. Therefore a message
 * that a publisher has not released yet is queued here for its subscribers, and the publisher's identifier becomes a
 * receipt: whatever of PUBLISH and PUBREL the publisher sends again, the message is published once.
 */
import type { PropertyValues } from "../../../../core/mod.ts";
import { HEADER } from "../export-lines.ts";
import type { ImportItem } from "../import.ts";
import type { Chunks } from "./chunks.ts";
import { ChunkKind } from "./chunks.ts";
import type { Fields } from "./fields.ts";
import { receiversOf, type Subscription } from "./receivers.ts";

/** What was left out, in words for people. */
export interface LeftOut {
  qos0: number;
}

/** The topic of a message and the flags with which it was published. */
interface Message {
  readonly number: number;
  readonly topic: string;
  readonly qos: number;
  readonly isRetained: boolean;
  readonly isEmpty: boolean;
  readonly expires: string | null;
}

/** A QoS 2 message that its publisher has not released yet. */
interface Unreleased {
  readonly where: string;
  readonly clientId: string;
  readonly packetId: number;
  readonly message: Message;
}

export class MosquittoItems {
  readonly #chunks: Chunks;
  readonly leftOut: LeftOut = { qos0: 0 };
  readonly #messages = new Map<bigint, Message>();
  readonly #subscriptions: Subscription[] = [];
  readonly #unreleased: Unreleased[] = [];

  constructor(chunks: Chunks) {
    this.#chunks = chunks;
  }

  *items(): Generator<ImportItem> {
    yield { where: "the header", line: HEADER };
    for (const fields of this.#chunks.of(ChunkKind.Client)) yield this.#session(fields);
    for (const fields of this.#chunks.of(ChunkKind.Subscription)) yield this.#subscription(fields);
    for (const fields of this.#chunks.of(ChunkKind.Message)) yield this.#message(fields);
    for (const fields of this.#chunks.of(ChunkKind.ClientMessage)) {
      const item = this.#entry(fields);
      if (item !== null) yield item;
    }
    yield* this.#published();
    yield* this.#retained();
  }

  #session(fields: Fields): ImportItem {
    const ends = fields.time();
    const interval = fields.u32();
    fields.skip(2);
    const clientBytes = fields.u16();
    let usernameBytes = 0;
    if (this.#chunks.format >= 6) {
      fields.skip(2);
      usernameBytes = fields.u16();
      fields.skip(4);
    }
    const clientId = fields.text(clientBytes, "client identifier");
    fields.skip(usernameBytes);
    fields.end();
    // Without an end, the interval begins when the broker starts.
    const expirySeconds = interval === FOR_EVER ? TEN_YEARS : interval;
    return { where: fields.where, line: { type: "session", clientId, expirySeconds, ends } };
  }

  #subscription(fields: Fields): ImportItem {
    const identifier = fields.u32();
    const [clientBytes, filterBytes] = [fields.u16(), fields.u16()];
    const [qos, options] = [fields.u8(), fields.u8()];
    fields.skip(2);
    const clientId = fields.text(clientBytes, "client identifier");
    const filter = fields.text(filterBytes, "filter");
    fields.end();
    const noLocal = (options & NO_LOCAL) !== 0;
    const retainAsPublished = (options & RETAIN_AS_PUBLISHED) !== 0;
    const subscription = { clientId, filter, qos, noLocal, retainAsPublished, identifier };
    this.#subscriptions.push(subscription);
    return { where: fields.where, line: { type: "subscription", ...subscription } };
  }

  #message(fields: Fields): ImportItem {
    const id = fields.messageNumber();
    const expires = fields.time();
    const payloadBytes = fields.u32();
    fields.skip(2);
    const [sourceBytes, usernameBytes, topicBytes] = [fields.u16(), fields.u16(), fields.u16()];
    fields.skip(2);
    const [qos, retain] = [fields.u8(), fields.u8()];
    fields.skip(sourceBytes + usernameBytes);
    const topic = fields.text(topicBytes, "topic");
    const payload = fields.bytes(payloadBytes);
    // The time of expiry is a field of its own.
    const { MessageExpiryInterval: _, ...properties } = fields.properties();
    if (this.#messages.has(id)) throw fields.fault(`another message has the number ${id}`);
    const number = this.#messages.size + 1;
    const isRetained = retain !== 0;
    this.#messages.set(id, {
      number,
      topic,
      qos,
      isRetained,
      isEmpty: payloadBytes === 0,
      expires,
    });
    const line = {
      ...{ type: "message", number, topic, qos, retain: isRetained },
      ...(expires === null ? {} : { expires }),
      properties: inBase64(properties),
      payloadBase64: payload.toString("base64"),
    };
    return { where: fields.where, line };
  }

  /** A message of a client; null: it has no line, or it gets its lines later. */
  #entry(fields: Fields): ImportItem | null {
    const id = fields.messageNumber();
    const [packetId, clientBytes] = [fields.u16(), fields.u16()];
    const [qos, state, retainAndDup, direction] = [
      fields.u8(),
      fields.u8(),
      fields.u8(),
      fields.u8(),
    ];
    const clientId = fields.text(clientBytes, "client identifier");
    const identifiers = fields.identifiers();
    const message = this.#messageOf(fields, id);
    if (direction > 1) throw fields.fault(`unknown direction ${direction}`);
    if (direction === INBOUND) {
      // Released before: the message is published, and the publisher only lacks a PUBCOMP.
      if (state === State.ResendPubcomp) return null;
      this.#unreleased.push({ where: fields.where, clientId, packetId, message });
      return null;
    }
    if (qos === 0) {
      this.leftOut.qos0++;
      return null;
    }
    const type = typeOf(state);
    if (type === null) throw fields.fault(`unknown state ${state}`);
    const line =
      type === "released"
        ? { type, clientId, packetId }
        : {
            ...{ type, clientId, ...(type === "sent" ? { packetId } : {}) },
            ...{ message: message.number, qos, retain: retainAndDup >> 4 !== 0, identifiers },
          };
    return { where: fields.where, line };
  }

  /** Queues the messages that their publishers have not released. */
  *#published(): Generator<ImportItem> {
    for (const { where, clientId, packetId, message } of this.#unreleased) {
      yield { where, line: { type: "receipt", clientId, packetId } };
      for (const receiver of receiversOf(this.#subscriptions, message.topic, clientId)) {
        const { share, identifiers, retainAsPublished } = receiver;
        const qos = Math.min(message.qos, receiver.qos);
        if (qos === 0) {
          this.leftOut.qos0++;
          continue;
        }
        const line = {
          ...{ type: "queued", clientId: receiver.clientId, message: message.number, qos },
          ...{ retain: retainAsPublished && message.isRetained, identifiers },
          ...(share === "" ? {} : { share }),
        };
        yield { where, line };
      }
    }
  }

  *#retained(): Generator<ImportItem> {
    const byTopic = new Map<string, { readonly where: string; readonly message: Message }>();
    for (const fields of this.#chunks.of(ChunkKind.Retained)) {
      const message = this.#messageOf(fields, fields.messageNumber());
      fields.end();
      byTopic.set(message.topic, { where: fields.where, message });
    }
    for (const { where, message } of this.#unreleased) {
      if (message.isRetained) byTopic.set(message.topic, { where, message });
    }
    for (const [topic, { where, message }] of byTopic) {
      // A message without a payload removes the retained one.
      if (message.isEmpty) continue;
      const { number, expires } = message;
      yield { where, line: { type: "retained", topic, message: number, expires } };
    }
  }

  #messageOf(fields: Fields, id: bigint): Message {
    const message = this.#messages.get(id);
    if (message !== undefined) return message;
    throw fields.fault(`the file has no message ${id}`);
  }
}

function typeOf(state: number): "sent" | "released" | "queued" | null {
  switch (state) {
    case State.PublishQos1:
    case State.WaitForPuback:
    case State.PublishQos2:
    case State.WaitForPubrec:
      return "sent";
    case State.ResendPubrel:
    case State.WaitForPubcomp:
      return "released";
    case State.Queued:
      return "queued";
    default:
      return null;
  }
}

/** Properties with their binary value in base64, in their order. */
function inBase64(properties: PropertyValues): object {
  const entries = Object.entries(properties).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? Buffer.from(value).toString("base64") : (value as unknown),
  ]);
  return Object.fromEntries(entries) as object;
}

/** The states of a client's message. */
const State = {
  PublishQos1: 2,
  WaitForPuback: 3,
  PublishQos2: 4,
  WaitForPubrec: 5,
  ResendPubrel: 6,
  ResendPubcomp: 8,
  WaitForPubcomp: 9,
  Queued: 11,
} as const;
const INBOUND = 0;
/** Options of a subscription. */
const NO_LOCAL = 0x04;
const RETAIN_AS_PUBLISHED = 0x08;
/** The session expiry interval of sessions without an end. */
const FOR_EVER = 0xffff_ffff;
/** The longest that a broker keeps the session of an absent client. */
const TEN_YEARS = 315_360_000;
