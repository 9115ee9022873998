/** Where a message is made from. One class for all, so that engines know what they read. */
import type { WordBytes } from "../base/bytes.ts";
import { viewOf } from "../base/bytes.ts";
import type { Millis, QoS } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { FrameRows } from "../codec/frame-rows.ts";

const NO_BYTES: Uint8Array = new Uint8Array(0);
const NO_RANGES: readonly number[] = [];

export class PublishFields {
  /** What topic field, properties and payload lie in. */
  bytes: Uint8Array = NO_BYTES;
  /** The same by words; null for the first packet of a chunk, which often is the only one. */
  view: DataView | null = null;
  /** The topic field, its two bytes of length included: `bytes[topicStart, topicEnd)`. */
  topicStart = 0;
  topicEnd = 0;
  /** The topic field where it is not in `bytes`: a topic alias stands for it. */
  aliased: WordBytes | null = null;
  /** Whether `aliased` stands for the topic; it may be left from a packet before. */
  isAliased = false;
  /** The properties that receivers get: runs `bytes[start, end)`, two numbers each. */
  propertyRanges: readonly number[] = NO_RANGES;
  payloadStart = 0;
  payloadEnd = 0;
  qos: QoS = 0;
  /** Whether it was published with RETAIN. */
  isRetained = false;
  /** From here on it is not delivered any more; NEVER for most. */
  expiresAt: Millis = NEVER;
  /** The buffer that `bytes` begins, where the message may have it; null: what it needs is copied. */
  owned: Uint8Array | null = null;
  /** Of a PUBLISH: the id of its topic, 0 until an alias has been looked up where there is no name. */
  topic = 0;
  /** Of a PUBLISH: 0 at QoS 0. */
  packetId = 0;
  /** It says that its payload is text. */
  isText = false;

  /** Makes it what the PUBLISH in row `at` is, as if without properties. Its payload may end before it begins. */
  begin(frames: FrameRows, at: number): void {
    const { bytes, owned } = frames;
    const first = frames.firstByte(at);
    const qos = ((first >> 1) & 0b11) as QoS;
    const start = frames.start(at);
    const topicEnd = start + 2 + ((bytes[start]! << 8) | bytes[start + 1]!);
    // Only where they change: a reference costs more to store than a number, and a chunk has many packets.
    if (this.bytes !== bytes) {
      this.bytes = bytes;
      this.view = null;
    } else if (this.view === null) {
      this.view = viewOf(bytes);
    }
    this.isAliased = false;
    if (this.propertyRanges !== NO_RANGES) this.propertyRanges = NO_RANGES;
    if (this.owned !== owned) this.owned = owned;
    this.topicStart = start;
    this.topicEnd = topicEnd;
    this.payloadStart = qos > 0 ? topicEnd + 2 : topicEnd;
    this.payloadEnd = start + frames.remaining(at);
    this.packetId = qos > 0 ? (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]! : 0;
    this.topic = frames.topic(at);
    this.qos = qos;
    this.isRetained = (first & RETAIN) !== 0;
    this.expiresAt = NEVER;
    this.isText = false;
  }
}

const RETAIN = 0x01;
