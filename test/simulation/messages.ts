/** The messages of a run: what their publishers know about them. */

export interface MessageFields {
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
}

/** An application message of a client or a will. */
export class Message implements MessageFields {
  readonly number: number;
  readonly publisher: number;
  readonly topic: number;
  readonly qos: 0 | 1 | 2;
  readonly isRetained: boolean;
  readonly isWill: boolean;
  readonly expirySeconds: number;
  readonly payloadBytes: number;
  /** How often the broker has got it, or has published it as a will. */
  transmissions = 0;
  /** The events of the first and the latest transmission; 0: none. */
  firstAt = 0;
  latestAt = 0;
  /** The broker has said that it has the message. */
  isAcknowledged = false;
  /**
   * When it expires at the earliest and at the latest, as Unix time: the wall clock may be set before the broker records it.
   */
  expiresFrom: number = Number.POSITIVE_INFINITY;
  expiresUntil: number = Number.NEGATIVE_INFINITY;
  /** The broker has it and may not have recorded it yet, so that it may expire later than that. */
  mayBeRecordedLater = false;
  /** The latest event at which the broker may have handled it; Infinity: it may still do so. */
  handledUntil: number = Number.POSITIVE_INFINITY;
  /** As a retained message: the event that made it certain that another one has replaced it. */
  replacedAt: number = Number.POSITIVE_INFINITY;

  constructor(number: number, fields: MessageFields) {
    this.number = number;
    this.publisher = fields.publisher;
    this.topic = fields.topic;
    this.qos = fields.qos;
    this.isRetained = fields.isRetained;
    this.isWill = fields.isWill;
    this.expirySeconds = fields.expirySeconds;
    this.payloadBytes = fields.payloadBytes;
  }
}

export class Messages {
  readonly #all: Message[] = [];

  create(fields: MessageFields): Message {
    const message = new Message(this.#all.length + 1, fields);
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
export function isExpired(message: Message, unixMillis: number): boolean {
  const { expiresUntil, expirySeconds, mayBeRecordedLater } = message;
  return expirySeconds >= 0 && !mayBeRecordedLater && expiresUntil <= unixMillis;
}
