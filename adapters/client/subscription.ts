/** Messages on their way to one consumer: a loop that takes them as it likes, or a function. */
import type { LocalMessage, MessageHandler } from "./client-api.ts";
import { Fifo } from "./fifo.ts";

/** A message that came, shared by the consumers that it is for. */
export interface Delivery {
  readonly message: LocalMessage;
  /** 0 at QoS 0. */
  readonly packetId: number;
  /** How many consumers have not taken it: it is acknowledged once all have. */
  waiting: number;
  isTaken: boolean;
}

/** Somebody who asked for the next message. */
interface Waiting {
  resolve(result: IteratorResult<LocalMessage>): void;
  reject(error: Error): void;
}

export interface ConsumerOptions {
  readonly queuedMessagesMax: number;
  readonly queuedBytesMax: number;
  /** The consumer has taken a message. */
  taken(delivery: Delivery): void;
  /** The handler threw, or what it returned rejected. */
  failed(error: unknown): void;
  /** The loop was left. */
  left(): Promise<unknown>;
}

/**
 * Messages of one `subscribe`, in order. `for await` takes them; so does `next`. Leaving the loop, or
 * `return`, ends the subscription.
 */
export class Subscription implements AsyncIterableIterator<LocalMessage> {
  /** The filters that were subscribed to. */
  readonly filters: readonly string[];
  /** The QoS granted for each of `filters`: more than was asked for where another of this client asked for it. */
  readonly granted: number[] = [];
  readonly #options: ConsumerOptions;
  readonly #queue = new Fifo<Delivery>();
  readonly #waiting = new Fifo<Waiting>();
  #handler: MessageHandler | null;
  #isHandling = false;
  #queuedCount = 0;
  #queuedBytes = 0;
  #dropped = 0;
  #end: { readonly error: Error | null } | null = null;

  constructor(
    filters: readonly string[],
    handler: MessageHandler | null,
    options: ConsumerOptions,
  ) {
    this.filters = filters;
    this.#handler = handler;
    this.#options = options;
  }

  /** QoS 0 messages that were dropped because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message, once there is one. Done where the subscription has ended; rejects where it was lost. */
  async next(): Promise<IteratorResult<LocalMessage>> {
    if (this.#handler !== null) throw new Error("the messages go to the function it was made with");
    const delivery = this.#shift();
    if (delivery !== null) {
      this.#options.taken(delivery);
      return { done: false, value: delivery.message };
    }
    if (this.#end !== null) return this.#ended();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Ends the subscription; what waits is dropped. */
  async return(): Promise<IteratorResult<LocalMessage>> {
    for (const delivery of this.#queue.drain()) this.#options.taken(delivery);
    await this.#options.left();
    return { done: true, value: undefined };
  }

  /** Ends the subscription; what has come can still be taken. */
  async unsubscribe(): Promise<void> {
    await this.#options.left();
  }

  /** @internal */
  offer(delivery: Delivery): void {
    const { message } = delivery;
    if (this.#end !== null) {
      this.#options.taken(delivery);
      return;
    }
    const next = this.#waiting.shift();
    if (next !== null) {
      this.#options.taken(delivery);
      next.resolve({ done: false, value: message });
      return;
    }
    if (message.qos === 0) {
      const { queuedMessagesMax, queuedBytesMax } = this.#options;
      const bytes = this.#queuedBytes + message.payload.length;
      if (this.#queuedCount >= queuedMessagesMax || bytes > queuedBytesMax) {
        this.#dropped++;
        return;
      }
      this.#queuedCount++;
      this.#queuedBytes = bytes;
    }
    this.#queue.push(delivery);
    this.#handle();
  }

  /** Messages that nobody has claimed are `handler`'s from now on. @internal */
  handleWith(handler: MessageHandler | null): void {
    this.#handler = handler;
    this.#handle();
  }

  /** What waits and matches, taken out. @internal */
  release(matches: (message: LocalMessage) => boolean): Delivery[] {
    const released: Delivery[] = [];
    this.#queuedCount = 0;
    this.#queuedBytes = 0;
    for (const delivery of this.#queue.drain()) {
      if (matches(delivery.message)) released.push(delivery);
      else this.#keep(delivery);
    }
    return released;
  }

  /** Nothing more comes. What waits can still be taken, but for what `isLost`. @internal */
  end(error: Error | null, isLost: (delivery: Delivery) => boolean): void {
    if (this.#end !== null) return;
    // Whoever waits is told; who comes later is told once.
    this.#end = { error: this.#waiting.length > 0 ? null : error };
    for (const delivery of this.#queue.drain()) if (!isLost(delivery)) this.#queue.push(delivery);
    for (const next of this.#waiting.drain()) {
      if (error === null) next.resolve({ done: true, value: undefined });
      else next.reject(error);
    }
  }

  /** What waits is acknowledged, and can still be taken. @internal */
  acknowledge(): void {
    for (const delivery of this.#queue.drain()) {
      this.#options.taken(delivery);
      this.#queue.push({ message: delivery.message, packetId: 0, waiting: 1, isTaken: true });
    }
  }

  #ended(): IteratorResult<LocalMessage> {
    const { error } = this.#end!;
    // Told once: a loop that goes on is over.
    this.#end = { error: null };
    if (error !== null) throw error;
    return { done: true, value: undefined };
  }

  #keep(delivery: Delivery): void {
    if (delivery.message.qos === 0) {
      this.#queuedCount++;
      this.#queuedBytes += delivery.message.payload.length;
    }
    this.#queue.push(delivery);
  }

  #shift(): Delivery | null {
    const delivery = this.#queue.shift();
    if (delivery === null) return null;
    if (delivery.message.qos === 0) {
      this.#queuedCount--;
      this.#queuedBytes -= delivery.message.payload.length;
    }
    return delivery;
  }

  /** Calls the handler with what waits, one at a time. */
  #handle(): void {
    while (this.#handler !== null && !this.#isHandling) {
      const delivery = this.#shift();
      if (delivery === null) return;
      this.#isHandling = true;
      let result: unknown;
      try {
        result = this.#handler(delivery.message);
      } catch (error) {
        this.#options.failed(error);
      }
      if (isThenable(result)) {
        const goOn = (): void => {
          this.#handled(delivery);
          this.#handle();
        };
        Promise.resolve(result)
          .catch((error: unknown) => this.#options.failed(error))
          .then(goOn, goOn);
        return;
      }
      this.#handled(delivery);
    }
  }

  #handled(delivery: Delivery): void {
    this.#isHandling = false;
    this.#options.taken(delivery);
  }
}

function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
