/** Publishers and subscribers in a closed loop: the number of messages in flight is bounded. */
import type { Socket } from "node:net";
import { publishPacket, ready, subscribePacket } from "../lib/client.ts";
import {
  acknowledgerFive,
  type Five,
  frameBytes5,
  publishPacket5,
  readyFive,
} from "../lib/five.ts";

export interface FlowParams {
  readonly port: number;
  readonly publishers: number;
  readonly subscribers: number;
  /**
   * Whether publisher n and subscriber n share a topic of their own; otherwise all share one topic.
   */
  readonly isPaired: boolean;
  readonly qos: 0 | 1 | 2;
  readonly payloadBytes: number;
  /** Messages of one publisher in flight at once. */
  readonly window: number;
  /** Distinct topics of one publisher. With several, its subscriber uses a wildcard. */
  readonly topics: number;
  /** Additional filters with wildcards for each subscriber; they match nothing. */
  readonly wildcards: number;
  /** Whether the subscribers' sessions outlive their connections: Clean Session 0, 3.1.1 only. */
  readonly isKept: boolean;
  /** The use of MQTT 5.0 features, with one topic per publisher; null: clients of 3.1.1. */
  readonly five: Five | null;
}

/** Counts the messages that arrive; `start` begins to publish. */
export interface Flow {
  received: number;
  start(): void;
}

export async function openFlow(params: FlowParams): Promise<Flow> {
  const { port, publishers, subscribers, isPaired, qos, payloadBytes, window, topics } = params;
  const flow: Flow = { received: 0, start: () => {} };
  const prefixOf = (n: number): string =>
    isPaired ? `bench/${String(n).padStart(4, "0")}` : "bench/0";
  const topicOf = (n: number, k: number): string =>
    topics === 1 ? prefixOf(n) : `${prefixOf(n)}/t${String(k).padStart(6, "0")}`;
  const filterOf = (n: number): string => (topics === 1 ? prefixOf(n) : `${prefixOf(n)}/#`);
  const payload = Buffer.alloc(payloadBytes, 0x2e);
  const sources: Publisher[] = [];
  const perMessage = isPaired ? 1 : subscribers;

  for (let n = 0; n < subscribers; n++) {
    const topic = topicOf(n, 0);
    const frameBytes = publishPacket(topic, payload, qos, 1).length;
    const count = (frames: number): void => {
      flow.received += frames;
      if (isPaired || publishers === 1) sources[isPaired ? n : 0]?.arrived(frames / perMessage);
      // Many to one: arrivals are not attributed, and each publisher counts an equal share.
      else for (const each of sources) each.arrived(frames / publishers);
    };
    if (params.five !== null) {
      const { five } = params;
      const { usual, first } = frameBytes5(topic, payload, qos, five);
      const receive =
        qos === 0 ? counter(usual, count, first) : acknowledgerFive(() => reader, count);
      const reader: Socket = await readyFive(port, `s${n}`, filterOf(n), qos, five, receive);
      continue;
    }
    const socket: Socket = await ready(
      port,
      `s${n}`,
      filterOf(n),
      qos,
      qos === 0 ? counter(frameBytes, count) : acknowledger(() => socket, frameBytes, topic, count),
      !params.isKept,
    );
    if (params.wildcards > 0) await subscribeMore(port, n, params.wildcards);
  }
  for (let n = 0; n < publishers; n++) {
    const names = Array.from({ length: topics }, (_, k) => topicOf(isPaired ? n : 0, k));
    const { five } = params;
    const publisher = new Publisher(names, payload, qos, window, five);
    const answered = (bytes: Uint8Array, count: number): void => publisher.answered(bytes, count);
    publisher.socket =
      five === null
        ? await ready(port, `p${n}`, null, 0, answered)
        : await readyFive(port, `p${n}`, null, 0, five, answered);
    sources.push(publisher);
  }
  flow.start = () => {
    for (const publisher of sources) publisher.fill();
  };
  return flow;
}

/** Adds filters that share their first levels with the topics, through a client of their own. */
async function subscribeMore(port: number, n: number, count: number): Promise<void> {
  const socket = await ready(port, `w${n}`, "none", 0, () => {});
  for (let k = 0; k < count; k++) {
    socket.write(
      subscribePacket(`+/${String(n).padStart(4, "0")}/w${k}/+/${n % 2 === 0 ? "#" : "x"}`, 0),
    );
  }
}

/**
 * Counts frames by their bytes alone: all have the same length, apart from `firstBytes` once at the
 * beginning.
 */
function counter(frameBytes: number, count: (frames: number) => void, firstBytes = 0) {
  let rest = -firstBytes;
  return (_: Uint8Array, byteCount: number): void => {
    rest += byteCount;
    const frames = Math.floor(rest / frameBytes);
    rest -= frames * frameBytes;
    if (frames > 0) count(frames);
  };
}

/**
 * A QoS 1 or 2 receiver: acknowledges each PUBLISH and PUBREL, many acknowledgements in one write.
 */
export function acknowledger(
  socket: () => Socket,
  frameBytes: number,
  topic: string,
  count: (frames: number) => void,
) {
  const idAt = frameBytes < 130 ? 4 + topic.length : 5 + topic.length;
  let partial: Buffer = Buffer.alloc(0);
  return (chunk: Uint8Array, byteCount: number): void => {
    const lent = chunk.subarray(0, byteCount);
    const bytes = partial.length === 0 ? lent : Buffer.concat([partial, lent]);
    const answers = Buffer.allocUnsafe(bytes.length + 4);
    let answered = 0;
    let frames = 0;
    let at = 0;
    while (at < bytes.length) {
      const isPublish = bytes[at]! >> 4 === 3;
      const length = isPublish ? frameBytes : 4;
      if (at + length > bytes.length) break;
      const id = isPublish ? at + idAt : at + 2;
      // PUBLISH at QoS 1 → PUBACK, at QoS 2 → PUBREC; PUBREL → PUBCOMP.
      answers[answered] = isPublish ? ((bytes[at]! & 4) !== 0 ? 0x50 : 0x40) : 0x70;
      answers[answered + 1] = 2;
      answers[answered + 2] = bytes[id]!;
      answers[answered + 3] = bytes[id + 1]!;
      answered += 4;
      if (isPublish) frames++;
      at += length;
    }
    partial = Buffer.from(bytes.subarray(at));
    if (answered > 0) socket().write(answers.subarray(0, answered));
    if (frames > 0) count(frames);
  };
}

/** Keeps `window` messages in flight, refilled in halves. */
class Publisher {
  socket!: Socket;
  readonly #batches: Buffer[] = [];
  readonly #half: number;
  readonly #qos: number;
  #next = 0;
  /**
   * `#outstanding`: messages sent that have not arrived; `#unacknowledged`: those not acknowledged.
   */
  #outstanding = 0;
  #unacknowledged = 0;
  #rest = 0;

  constructor(
    topics: readonly string[],
    payload: Buffer,
    qos: 0 | 1 | 2,
    window: number,
    five: Five | null,
  ) {
    this.#half = Math.max(1, window >> 1);
    this.#qos = qos;
    // Four halves of identifiers: an identifier is reused long after its completion.
    const batches = Math.max(qos === 0 ? 1 : 4, Math.ceil(topics.length / this.#half));
    for (let b = 0; b < batches; b++) {
      const packets = Array.from({ length: this.#half }, (_, i) => {
        const n = b * this.#half + i;
        const topic = topics[n % topics.length]!;
        const id = (n % 60_000) + 1;
        if (five === null) return publishPacket(topic, payload, qos, id);
        // The first packet of a batch sets the alias that the others use.
        const isAliased = five === "aliases";
        return publishPacket5(isAliased && i > 0 ? "" : topic, payload, qos, id, isAliased);
      });
      this.#batches.push(Buffer.concat(packets));
    }
  }

  fill(): void {
    while (this.#outstanding <= this.#half && this.#unacknowledged <= this.#half) {
      this.socket.write(this.#batches[this.#next]!);
      this.#next = (this.#next + 1) % this.#batches.length;
      this.#outstanding += this.#half;
      if (this.#qos > 0) this.#unacknowledged += this.#half;
    }
  }

  arrived(messages: number): void {
    this.#outstanding -= messages;
    if (this.#outstanding <= this.#half) this.fill();
  }

  /** PUBACK, PUBREC and PUBCOMP are all four bytes long. */
  answered(bytes: Uint8Array, byteCount: number): void {
    if (this.#qos === 1) {
      this.#rest += byteCount;
      this.#unacknowledged -= this.#rest >> 2;
      this.#rest &= 3;
    } else {
      this.#release(bytes.subarray(0, byteCount));
    }
    if (this.#unacknowledged <= this.#half) this.fill();
  }

  #partial = Buffer.alloc(0);
  #release(lent: Uint8Array): void {
    const bytes = Buffer.concat([this.#partial, lent]);
    const whole = bytes.length & ~3;
    const releases: number[] = [];
    for (let at = 0; at < whole; at += 4) {
      if (bytes[at] === 0x50) releases.push(0x62, 2, bytes[at + 2]!, bytes[at + 3]!);
      else this.#unacknowledged--;
    }
    this.#partial = Buffer.from(bytes.subarray(whole));
    if (releases.length > 0) this.socket.write(Buffer.from(releases));
  }
}
