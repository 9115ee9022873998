/** What a client publishes: within the broker's window, and at QoS 1 and 2 until it is acknowledged. */
import type { PropertyValues } from "../../core/mod.ts";
import { FAILURE_MIN, FirstByte, Reason } from "../../core/mod.ts";
import type { PublishResult } from "./client-api.ts";
import type { ClientSession, Outgoing as Entry } from "./client-session.ts";
import { ClosedError, RefusedError } from "./errors.ts";
import { Fifo } from "./fifo.ts";
import type { PublishFields, ServerPacket } from "./packets.ts";
import { encodeAnswer, encodePublish } from "./packets.ts";

export interface OutgoingOptions {
  readonly session: ClientSession;
  /** Most QoS 1 and 2 publishes under way. */
  readonly receiveMaximum: number;
  /** The longest packet that the broker takes. */
  readonly packetBytesMax: number;
  /** A packet identifier that nothing has; 0: none is free. */
  packetId(): number;
  send(packet: Uint8Array, taken?: () => void): void;
}

/** Somebody waits for it. */
interface Publish {
  readonly fields: PublishFields;
  resolve(result: PublishResult): void;
  reject(error: Error): void;
}

export class Outgoing {
  readonly #options: OutgoingOptions;
  /** What the window has no room for yet. */
  readonly #waiting = new Fifo<Publish>();
  /** At QoS 0, and not yet with the broker; and at QoS 1 and 2, and not yet acknowledged. */
  readonly #unsettled = new Set<Publish>();

  /** How many of them the broker has yet to acknowledge. */
  unacknowledged = 0;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  publish(fields: PublishFields): Promise<PublishResult> {
    return new Promise((resolve, reject) => {
      const publish = { fields, resolve, reject };
      const what = `publish to ${fields.topic}`;
      const bytes = encodePublish(fields, 1);
      if (bytes.length > this.#options.packetBytesMax) {
        reject(new RefusedError(what, "CONNACK", Reason.PacketTooLarge, {}));
        return;
      }
      this.#unsettled.add(publish);
      if (fields.qos === 0) {
        this.#options.send(bytes, () => this.#resolve(publish, Reason.Success, {}));
        return;
      }
      this.unacknowledged++;
      this.#waiting.push(publish);
      this.#pump();
    });
  }

  /** Sends again what an earlier connection left unfinished, in its order [MQTT-4.4.0-1]. */
  resume(): void {
    for (const { packetId, packet, isReceived } of this.#options.session.outgoing.values()) {
      if (isReceived) {
        this.#options.send(encodeAnswer(FirstByte.Pubrel, packetId));
        continue;
      }
      const again = packet.slice();
      again[0]! |= DUP;
      this.#options.send(again);
    }
  }

  answered(packet: Extract<ServerPacket, { packetId: number; reason: number }>): void {
    const { type, packetId, reason, properties } = packet;
    const { outgoing } = this.#options.session;
    const entry = outgoing.get(packetId);
    if (type === "pubrec" && reason < FAILURE_MIN) {
      const known = entry === undefined ? Reason.PacketIdentifierNotFound : Reason.Success;
      if (entry !== undefined) entry.isReceived = true;
      this.#options.send(encodeAnswer(FirstByte.Pubrel, packetId, known));
      return;
    }
    if (entry === undefined) return;
    outgoing.delete(packetId);
    entry.settle?.(type === "puback" ? "PUBACK" : "PUBREC", reason, properties);
    this.#pump();
  }

  /** The connection is over: nobody is told more. What was sent stays in the session. */
  close(reason: number): void {
    for (const entry of this.#options.session.outgoing.values()) entry.settle = null;
    this.#waiting.drain();
    for (const { fields, reject } of this.#unsettled) {
      reject(new ClosedError(`publish to ${fields.topic}`, reason));
    }
    this.#unsettled.clear();
  }

  #pump(): void {
    const { session, receiveMaximum } = this.#options;
    while (this.#waiting.length > 0 && session.outgoing.size < receiveMaximum) {
      const packetId = this.#options.packetId();
      if (packetId === 0) return;
      const publish = this.#waiting.shift()!;
      const { qos } = publish.fields;
      const packet = encodePublish(publish.fields, packetId);
      const settle: Entry["settle"] = (said, reason, properties) => {
        this.unacknowledged--;
        if (reason < FAILURE_MIN) {
          this.#resolve(publish, reason, properties);
          return;
        }
        this.#unsettled.delete(publish);
        const what = `publish to ${publish.fields.topic}`;
        publish.reject(new RefusedError(what, said, reason, properties));
      };
      session.outgoing.set(packetId, { packetId, qos, packet, isReceived: false, settle });
      this.#options.send(packet);
    }
  }

  #resolve(publish: Publish, reason: number, properties: PropertyValues): void {
    this.#unsettled.delete(publish);
    publish.resolve({ reason, properties });
  }
}

const DUP = 8;
