/** The publishes of a client. At QoS 1 and 2 they wait for room in the broker's window, then for the acknowledgement. */
import type { PropertyValues } from "../../core/mod.ts";
import { FAILURE_MIN, FirstByte, Reason } from "../../core/mod.ts";
import type { PublishResult } from "./client-api.ts";
import type { ClientSession, OutgoingMessage } from "./client-session.ts";
import { ClosedError, RefusedError } from "./errors.ts";
import { Fifo } from "./fifo.ts";
import type { PublishFields, ServerPacket } from "./packets.ts";
import { encodePublish, encodeShortAck } from "./packets.ts";

export interface OutgoingOptions {
  readonly session: ClientSession;
  /** Maximum unacknowledged QoS 1 and 2 publishes. */
  readonly receiveMaximum: number;
  /** The longest packet that the broker accepts. */
  readonly packetBytesMax: number;
  /** A free packet identifier; 0: none is free. */
  packetId(): number;
  /** `onRead` is called when the broker has read the packet. */
  send(packet: Uint8Array, onRead?: () => void): void;
}

/** A call of `publish` that is not settled. */
interface PendingPublish {
  readonly fields: PublishFields;
  resolve(result: PublishResult): void;
  reject(error: Error): void;
}

export class Outgoing {
  readonly #options: OutgoingOptions;
  /** The publishes that wait for room in the window. */
  readonly #queued = new Fifo<PendingPublish>();
  /** The publishes at QoS 0 that the broker has not read, and those at QoS 1 and 2 that it has not acknowledged. */
  readonly #unsettled = new Set<PendingPublish>();

  /** The number of publishes at QoS 1 and 2 that the broker has not acknowledged. */
  unacknowledgedCount = 0;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  publish(fields: PublishFields): Promise<PublishResult> {
    return new Promise((resolve, reject) => {
      const publish = { fields, resolve, reject };
      const action = `publish to ${fields.topic}`;
      const bytes = encodePublish(fields, 1);
      if (bytes.length > this.#options.packetBytesMax) {
        reject(new RefusedError(action, "CONNACK", Reason.PacketTooLarge, {}));
        return;
      }
      this.#unsettled.add(publish);
      if (fields.qos === 0) {
        this.#options.send(bytes, () => this.#resolve(publish, Reason.Success, {}));
        return;
      }
      this.unacknowledgedCount++;
      this.#queued.push(publish);
      this.#pump();
    });
  }

  /** Resends the unacknowledged messages of the session in their order [MQTT-4.4.0-1]. */
  resume(): void {
    for (const { packetId, packet, isReceived } of this.#options.session.outgoing.values()) {
      if (isReceived) {
        this.#options.send(encodeShortAck(FirstByte.Pubrel, packetId));
        continue;
      }
      const resent = packet.slice();
      resent[0]! |= DUP;
      this.#options.send(resent);
    }
  }

  handleAck(packet: Extract<ServerPacket, { packetId: number; reason: number }>): void {
    const { type, packetId, reason, properties } = packet;
    const { outgoing } = this.#options.session;
    const message = outgoing.get(packetId);
    if (type === "pubrec" && reason < FAILURE_MIN) {
      const releaseReason =
        message === undefined ? Reason.PacketIdentifierNotFound : Reason.Success;
      if (message !== undefined) message.isReceived = true;
      this.#options.send(encodeShortAck(FirstByte.Pubrel, packetId, releaseReason));
      return;
    }
    if (message === undefined) return;
    outgoing.delete(packetId);
    message.settle?.(type === "puback" ? "PUBACK" : "PUBREC", reason, properties);
    this.#pump();
  }

  /** The connection has ended: unsettled publishes reject. Sent messages stay in the session. */
  close(reason: number): void {
    for (const message of this.#options.session.outgoing.values()) message.settle = null;
    this.#queued.drain();
    for (const { fields, reject } of this.#unsettled) {
      reject(new ClosedError(`publish to ${fields.topic}`, reason));
    }
    this.#unsettled.clear();
  }

  #pump(): void {
    const { session, receiveMaximum } = this.#options;
    while (this.#queued.length > 0 && session.outgoing.size < receiveMaximum) {
      const packetId = this.#options.packetId();
      if (packetId === 0) return;
      const publish = this.#queued.shift()!;
      const { qos } = publish.fields;
      const packet = encodePublish(publish.fields, packetId);
      const settle: OutgoingMessage["settle"] = (ack, reason, properties) => {
        this.unacknowledgedCount--;
        if (reason < FAILURE_MIN) {
          this.#resolve(publish, reason, properties);
          return;
        }
        this.#unsettled.delete(publish);
        const action = `publish to ${publish.fields.topic}`;
        publish.reject(new RefusedError(action, ack, reason, properties));
      };
      session.outgoing.set(packetId, { packetId, qos, packet, isReceived: false, settle });
      this.#options.send(packet);
    }
  }

  #resolve(publish: PendingPublish, reason: number, properties: PropertyValues): void {
    this.#unsettled.delete(publish);
    publish.resolve({ reason, properties });
  }
}

const DUP = 8;
