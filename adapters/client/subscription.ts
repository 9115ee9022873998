/** The messages of one consumer: a loop that requests each message, or a handler function. */
import type { LocalMessage, MessageHandler } from "./client-api.ts";
import { Fifo } from "./fifo.ts";

/** A received message, shared by its consumers. */
export interface Delivery {
  readonly message: LocalMessage;
  /** 0 at QoS 0. */
  readonly packetId: number;
  /** How many consumers have not consumed the message. It is acknowledged when all have. */
  waitingCount: number;
  /** At least one consumer has consumed the message. */
  isConsumed: boolean;
}

/** A call of `next` that waits for a message. */
interface PendingNext {
  resolve(result: IteratorResult<LocalMessage>): void;
  reject(error: Error): void;
}

export interface ConsumerOptions {
  readonly queuedMessagesMax: number;
  readonly queuedBytesMax: number;
  /** The consumer has consumed a message. */
  handleConsumed(delivery: Delivery): void;
  /** The message handler threw, or its promise rejected. */
  handleError(error: unknown): void;
  /** Ends the subscription. */
  unsubscribe(): Promise<unknown>;
}

/** The messages of one `subscribe`, in order, for `for await` or `next`. Leaving the loop, or `return`, ends the subscription. */
export class Subscription implements AsyncIterableIterator<LocalMessage> {
  /** The topic filters of the subscription. */
  readonly filters: readonly string[];
  /** The QoS granted for each filter. It is higher than requested if another subscription of the client requested more. */
  readonly granted: number[] = [];
  readonly #options: ConsumerOptions;
  readonly #queue = new Fifo<Delivery>();
  readonly #pending = new Fifo<PendingNext>();
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

  /** The number of QoS 0 messages that were dropped because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Waits for the next message. Done if the subscription has ended. Rejects once if the connection was lost. */
  async next(): Promise<IteratorResult<LocalMessage>> {
    if (this.#handler !== null)
      throw new Error("the messages of this subscription go to its handler");
    const delivery = this.#shift();
    if (delivery !== null) {
      this.#options.handleConsumed(delivery);
      return { done: false, value: delivery.message };
    }
    if (this.#end !== null) return this.#ended();
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
    });
  }

  /** Ends the subscription and drops its waiting messages. */
  async return(): Promise<IteratorResult<LocalMessage>> {
    for (const delivery of this.#queue.drain()) this.#options.handleConsumed(delivery);
    await this.#options.unsubscribe();
    return { done: true, value: undefined };
  }

  /** Ends the subscription. Waiting messages can still be read. */
  async unsubscribe(): Promise<void> {
    await this.#options.unsubscribe();
  }

  /** @internal */
  offer(delivery: Delivery): void {
    const { message } = delivery;
    if (this.#end !== null) {
      this.#options.handleConsumed(delivery);
      return;
    }
    const next = this.#pending.shift();
    if (next !== null) {
      this.#options.handleConsumed(delivery);
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

  /** Sets the handler, which also gets the waiting messages. @internal */
  handleWith(handler: MessageHandler | null): void {
    this.#handler = handler;
    this.#handle();
  }

  /** Removes and returns the waiting messages that match. @internal */
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

  /** Ends the subscription without UNSUBSCRIBE. Waiting messages can still be read, except those that are lost. @internal */
  end(error: Error | null, isLost: (delivery: Delivery) => boolean): void {
    if (this.#end !== null) return;
    // Each waiting call of `next` gets the error. If none waits, the first later call gets it.
    this.#end = { error: this.#pending.length > 0 ? null : error };
    for (const delivery of this.#queue.drain()) if (!isLost(delivery)) this.#queue.push(delivery);
    for (const next of this.#pending.drain()) {
      if (error === null) next.resolve({ done: true, value: undefined });
      else next.reject(error);
    }
  }

  /** Acknowledges the waiting messages. They can still be read. @internal */
  acknowledge(): void {
    for (const delivery of this.#queue.drain()) {
      this.#options.handleConsumed(delivery);
      this.#queue.push({
        message: delivery.message,
        packetId: 0,
        waitingCount: 1,
        isConsumed: true,
      });
    }
  }

  #ended(): IteratorResult<LocalMessage> {
    const { error } = this.#end!;
    // The error is thrown once. A later call is done.
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

  /** Calls the handler with the waiting messages, one at a time. */
  #handle(): void {
    while (this.#handler !== null && !this.#isHandling) {
      const delivery = this.#shift();
      if (delivery === null) return;
      this.#isHandling = true;
      let result: unknown;
      try {
        result = this.#handler(delivery.message);
      } catch (error) {
        this.#options.handleError(error);
      }
      if (isThenable(result)) {
        const handleNext = (): void => {
          this.#handled(delivery);
          this.#handle();
        };
        Promise.resolve(result)
          .catch((error: unknown) => this.#options.handleError(error))
          .then(handleNext, handleNext);
        return;
      }
      this.#handled(delivery);
    }
  }

  #handled(delivery: Delivery): void {
    this.#isHandling = false;
    this.#options.handleConsumed(delivery);
  }
}

function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
