/** The messages of a run: what their publishers know about them. */

/** An application message of a client or a will. */
export interface Message {
  readonly number: number;
  /** The number of the client. */
  readonly publisher: number;
  readonly topic: number;
  readonly qos: 0 | 1 | 2;
  readonly isRetained: boolean;
  readonly isWill: boolean;
  /** The Message Expiry Interval; -1: none. */
  readonly expirySeconds: number;
  /** 0: the payload is empty and does not have the number. */
  readonly payloadBytes: number;
  /** How often the broker has got it, or has published it as a will. */
  transmissions: number;
  /** The events of the first and the latest transmission; 0: none. */
  firstAt: number;
  latestAt: number;
  /** The broker has said that it has the message. */
  isAcknowledged: boolean;
  /**
   * When it expires at the earliest and at the latest, as Unix time: the wall clock may be set before the broker records it.
   */
  expiresFrom: number;
  expiresUntil: number;
  /** The latest event at which the broker may have handled it; Infinity: it may still do so. */
  handledUntil: number;
  /** As a retained message: the event that made it certain that another one has replaced it. */
  replacedAt: number;
}

export type MessageFields = Pick<
  Message,
  "publisher" | "topic" | "qos" | "isRetained" | "isWill" | "expirySeconds" | "payloadBytes"
>;

export class Messages {
  readonly #all: Message[] = [];

  create(fields: MessageFields): Message {
    const { publisher, topic, qos, isRetained, isWill, expirySeconds, payloadBytes } = fields;
    const message: Message = {
      number: this.#all.length + 1,
      ...{ publisher, topic, qos, isRetained, isWill, expirySeconds, payloadBytes },
      ...{ transmissions: 0, firstAt: 0, latestAt: 0, isAcknowledged: false },
      expiresFrom: Number.POSITIVE_INFINITY,
      expiresUntil: Number.NEGATIVE_INFINITY,
      handledUntil: Number.POSITIVE_INFINITY,
      replacedAt: Number.POSITIVE_INFINITY,
    };
    this.#all.push(message);
    return message;
  }

  at(number: number): Message | null {
    return this.#all[number - 1] ?? null;
  }
}

/** Whether a message may have expired, and whether it has expired for certain. */
export function mayBeExpired({ expiresFrom }: Message, unixMillis: number): boolean {
  return expiresFrom <= unixMillis;
}
export function isExpired({ expiresUntil, expirySeconds }: Message, unixMillis: number): boolean {
  return expirySeconds >= 0 && expiresUntil <= unixMillis;
}
