/** Hears what the broker says, in packets to clients and in events, and checks it against the model. */
import type { BrokerEvent, ConnId } from "../../core/mod.ts";
import { Reason } from "../../core/mod.ts";
import type { Link } from "./link.ts";
import type { Messages } from "./messages.ts";
import type { Clock, Model } from "./model.ts";
import { filterOf } from "./topics.ts";
import type { Trace } from "./trace.ts";
import { check, Violation } from "./violation.ts";
import type { Packet } from "./wire.ts";
import { Type } from "./wire.ts";

interface ObserverContext {
  readonly messages: Messages;
  readonly model: Model;
  readonly trace: Trace;
  readonly clock: Clock;
  /** Open connections. */
  readonly links: ReadonlyMap<ConnId, Link>;
}

export class Observer {
  readonly #context: ObserverContext;

  constructor(context: ObserverContext) {
    this.#context = context;
  }

  handlePacket(link: Link, packet: Packet): void {
    switch (packet.type) {
      case Type.Connack:
        if (packet.reason !== 0) break;
        check(link.isPresent === packet.isPresent, () => "the CONNACK has another session present");
        this.#context.model.handleConfirmed(link);
        break;
      case Type.Publish:
        this.#handlePublish(link, packet);
        break;
      case Type.Puback:
      case Type.Pubrec:
        this.#handleAck(link, packet);
        break;
      case Type.Pubrel:
        link.session?.handlePubrel(packet.id);
        break;
      case Type.Suback:
      case Type.Unsuback:
        this.#handleOperation(link, packet);
        break;
    }
  }

  #handlePublish(link: Link, packet: Packet): void {
    const { model, messages, clock } = this.#context;
    const { session } = link;
    if (session === null || !link.isConfirmed) throw new Violation("PUBLISH before CONNACK");
    if (packet.message === 0) return;
    const message = messages.at(packet.message);
    if (message === null || message.firstAt === 0 || message.topic !== packet.topic) {
      throw new Violation(`sends a message that was not published`, packet.message);
    }
    if (packet.qos > message.qos) throw new Violation("raises the QoS", message.number);
    if (packet.isRetained) session.handleRetainedSent(packet, message, model.retained);
    else session.handleSent(packet, message, clock.unixMillis, link.window);
  }

  /** PUBACK and PUBREC say that the broker has the message. */
  #handleAck(link: Link, { id, reason }: Packet): void {
    const transmitted = link.transmitted.get(id);
    if (transmitted === undefined) throw new Violation(`acknowledges ${id}, which was not sent`);
    if (reason >= 0x80) throw new Violation(`refuses a message: ${reason}`);
    const { message, event } = transmitted;
    link.transmitted.delete(id);
    if (message.isAcknowledged && message.qos === 2) return;
    const start = message.qos === 2 ? message.firstAt : event;
    const isWanted = this.#context.model.handleAcknowledged(message, start);
    if (reason === Reason.NoMatchingSubscribers && isWanted) {
      throw new Violation("says that a message has no subscribers", message.number);
    }
  }

  #handleOperation({ operation }: Link, { type, id, codes }: Packet): void {
    if (operation?.id !== id) throw new Violation(`acknowledges ${id}, which was not sent`);
    operation.isConfirmed = true;
    const { subscription } = operation;
    check((type === Type.Suback) === (subscription !== null), () => "SUBACK for UNSUBSCRIBE");
    if (subscription === null) return;
    const isGranted = codes.every((code) => code === subscription.qos);
    check(isGranted, () => `grants ${codes}, not ${subscription.qos}`);
  }

  handleEvent(event: BrokerEvent, isShuttingDown: boolean): void {
    const { links, model, trace } = this.#context;
    switch (event.kind) {
      case "connected": {
        const link = links.get(event.conn)!;
        const { sessionPresent } = event;
        trace.log(() => `client ${link.client} is connected, session present ${sessionPresent}`);
        link.isPresent = sessionPresent;
        model.handleConnected(link, sessionPresent);
        break;
      }
      case "disconnected":
        this.#handleDisconnected(links.get(event.conn)!, event.reason, isShuttingDown);
        break;
      case "subscribed":
      case "unsubscribed":
        this.#handleSubscription(event.clientId, event.filter, event.kind);
        break;
      case "refused":
        break;
      default:
        throw new Violation(`the broker reports ${event.kind}`);
    }
  }

  #handleDisconnected(link: Link, reason: number, isShuttingDown: boolean): void {
    const isAsked = reason === Reason.Success;
    const dropsWill = isShuttingDown || (isAsked && link.disconnectReason === 0);
    const { model, trace } = this.#context;
    trace.log(() => `client ${link.client} is disconnected: ${reason}`);
    if (isAsked && link.disconnectReason < 0) throw new Violation("a DISCONNECT that was not sent");
    model.handleDisconnected(link, dropsWill, isAsked ? link.disconnectExpiryMillis : -1);
  }

  #handleSubscription(clientId: string, text: string, kind: string): void {
    const { model, trace } = this.#context;
    const { link, session } = model.clients[Number(clientId.slice(1))]!;
    const operation = link!.operation!;
    const { subscription } = operation;
    const since = ++model.event;
    trace.log(() => `client ${link!.client} has ${kind}: ${text}`);
    model.handleSubscription(
      session!,
      filterOf.get(text)!,
      subscription === null ? null : { ...subscription, since },
      () => operation.isConfirmed,
    );
  }
}
