/**
 * A client: the state that it keeps beyond its connections, as the specifications require, and its answers to the
 * packets of the broker. What it does of its own accord, simulation.ts decides.
 */
import { encodeUtf8 } from "../../core/mod.ts";
import type { Link, Operation } from "./link.ts";
import { Sent } from "./link.ts";
import type { Message } from "./messages.ts";
import type { SessionModel } from "./session-model.ts";
import { check } from "./violation.ts";
import type { Level, Packet } from "./wire.ts";
import { Type, writeAck, writePublish } from "./wire.ts";

/** A message that the client has sent and whose flow is not complete. */
interface Outgoing {
  readonly id: number;
  readonly message: Message;
  /** QoS 2: the broker has the message, and PUBREL is next. */
  isReceived: boolean;
}

/** What a client tells the rest of the simulation. */
export interface ClientListener {
  /** It takes the message of a PUBLISH for a new one. */
  handleTaken(client: Client, packet: Packet): void;
}

export class Client {
  readonly number: number;
  readonly id: string;
  readonly idBytes: Uint8Array;
  readonly level: Level;
  link: Link | null = null;
  /** It got the CONNACK on its connection. */
  isConnected = false;
  /** The session that its state belongs to. */
  #session: SessionModel | null = null;
  readonly outgoing: Outgoing[] = [];
  /** QoS 2 messages that it got and the broker has not released, by identifier. */
  readonly #incoming = new Map<number, number>();
  /** Acknowledgements to send, in order: packet type and identifier. */
  readonly #answers: number[] = [];
  #lastId = 0;
  readonly #listener: ClientListener;

  constructor(number: number, level: Level, listener: ClientListener) {
    this.number = number;
    this.id = `c${number}`;
    this.idBytes = encodeUtf8(this.id);
    this.level = level;
    this.#listener = listener;
  }

  /** How many answers it can send: none after its DISCONNECT. */
  get answerCount(): number {
    return this.link?.isHalfClosed === true ? 0 : this.#answers.length >> 1;
  }

  nextId(): number {
    for (;;) {
      this.#lastId = this.#lastId === 40 ? 1 : this.#lastId + 1;
      const id = this.#lastId;
      if (!this.outgoing.some((one) => one.id === id) && this.link?.operation?.id !== id) return id;
    }
  }

  publish(message: Message): void {
    const id = message.qos === 0 ? 0 : this.nextId();
    if (message.qos > 0) this.outgoing.push({ id, message, isReceived: false });
    this.#send(message, id, false);
  }

  #send(message: Message, id: number, isDup: boolean): void {
    const link = this.link!;
    const room = link.room(message.payloadBytes + 64);
    const end = writePublish(room, link.roomStart, this.level, message, { id, isDup });
    link.sent(end, Sent.Publish, id, message);
  }

  /** Sends the `count` oldest answers. */
  answer(count: number): void {
    const link = this.link!;
    const answers = this.#answers;
    const end = Math.min(count * 2, answers.length);
    for (let i = 0; i < end; i += 2) {
      const type = answers[i]!;
      const id = answers[i + 1]!;
      const packetEnd = writeAck(link.room(4), link.roomStart, type, id);
      link.sent(packetEnd, SENT_BY_TYPE[type]!, id, null);
    }
    answers.copyWithin(0, end);
    answers.length -= end;
  }

  /** Its connection is gone. */
  handleClosed(): void {
    this.link = null;
    this.isConnected = false;
    this.#answers.length = 0;
  }

  handlePacket(packet: Packet): void {
    const { id } = packet;
    switch (packet.type) {
      case Type.Connack:
        this.#handleConnack(packet);
        break;
      case Type.Publish:
        this.#handlePublish(packet);
        break;
      case Type.Puback:
        this.#handleAck(id, false);
        break;
      case Type.Pubrec:
        this.#handlePubrec(id);
        break;
      case Type.Pubrel:
        this.#incoming.delete(id);
        this.#answers.push(Type.Pubcomp, id);
        break;
      case Type.Pubcomp:
        this.#handleAck(id, true);
        break;
      case Type.Suback:
      case Type.Unsuback:
        this.#handleOperation(packet, this.link!.operation);
        break;
    }
  }

  #handleConnack({ reason, isPresent }: Packet): void {
    if (reason !== 0) return;
    const link = this.link!;
    this.isConnected = true;
    // The broker may have made a new session on a connection that was cut before the CONNACK arrived. A client that
    // resumes it has state of the earlier session; the specifications leave that to the application.
    if (!isPresent || this.#session !== link.session) {
      this.outgoing.length = 0;
      this.#incoming.clear();
      this.#session = link.session;
      return;
    }
    for (const { id, message, isReceived } of this.outgoing) {
      if (isReceived) this.#answers.push(Type.Pubrel, id);
      else this.#send(message, id, true);
    }
  }

  #handlePublish(packet: Packet): void {
    const { qos, id, message } = packet;
    if (qos === 2) {
      this.#answers.push(Type.Pubrec, id);
      const before = this.#incoming.get(id);
      if (before !== undefined) {
        check(before === message, () => `identifier ${id} is that of message ${before}`, message);
        return;
      }
      this.#incoming.set(id, message);
    } else if (qos === 1) {
      this.#answers.push(Type.Puback, id);
    }
    this.#listener.handleTaken(this, packet);
  }

  #handlePubrec(id: number): void {
    const outgoing = this.outgoing.find((one) => one.id === id);
    if (outgoing !== undefined) outgoing.isReceived = true;
    this.#answers.push(Type.Pubrel, id);
  }

  #handleAck(id: number, isReceived: boolean): void {
    const index = this.outgoing.findIndex((one) => one.id === id);
    if (index < 0 || this.outgoing[index]!.isReceived !== isReceived) return;
    this.outgoing.splice(index, 1);
  }

  #handleOperation({ id }: Packet, operation: Operation | null): void {
    if (operation?.id === id) this.link!.operation = null;
  }
}

const SENT_BY_TYPE: Readonly<Record<number, number>> = {
  [Type.Puback]: Sent.Puback,
  [Type.Pubrec]: Sent.Pubrec,
  [Type.Pubrel]: Sent.Other,
  [Type.Pubcomp]: Sent.Pubcomp,
};
