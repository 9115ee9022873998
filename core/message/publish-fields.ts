/**
 * The fields of a PUBLISH or a will, from which a message is made. Engines optimise access better
 * if every source has the same class.
 */
import type { WordBytes } from "../base/bytes.ts";
import { viewOf } from "../base/bytes.ts";
import type { Millis, QoS } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { FrameRows } from "../codec/frame-rows.ts";
import { ROW_HEADER, ROW_OFFSET, ROW_REMAINING, ROW_TOPIC } from "../codec/layout.ts";

const NO_BYTES: Uint8Array = new Uint8Array(0);
const NO_RANGES: readonly number[] = [];

export class PublishFields {
  /** The memory of topic field, properties and payload. */
  bytes: Uint8Array = NO_BYTES;
  /**
   * The same memory, read by words; null for the first packet of a chunk, which is often the only
   * one.
   */
  view: DataView | null = null;
  /** The topic field, its two length bytes included: `bytes[topicStart, topicEnd)`. */
  topicStart = 0;
  topicEnd = 0;
  /** The topic field that a topic alias stands for. */
  aliased: WordBytes | null = null;
  /**
   * Whether `aliased` is the topic; otherwise `aliased` may be left over from an earlier packet.
   */
  isAliased = false;
  /** The properties that receivers get: ranges `bytes[start, end)`, two numbers each. */
  propertyRanges: readonly number[] = NO_RANGES;
  payloadStart = 0;
  payloadEnd = 0;
  qos: QoS = 0;
  /** Whether it was published with RETAIN. */
  isRetained = false;
  /** When the message expires; NEVER for most messages. */
  expiresAt: Millis = NEVER;
  /**
   * The buffer that `bytes` is the start of, if the message may adopt it; null: the message copies
   * its bytes.
   */
  owned: Uint8Array | null = null;
  /**
   * Of a PUBLISH: the id of its topic; 0 without a topic name, until the alias has been resolved.
   */
  topic = 0;
  /** Of a PUBLISH: 0 at QoS 0. */
  packetId = 0;
  /** Payload Format Indicator is 1: the payload is UTF-8. */
  isPayloadText = false;
  /** Whether its acknowledgement and its deliveries do not wait for commits. */
  skipsCommits = false;

  /**
   * Reads the PUBLISH in row `at`, except its properties. If the packet is too short, the payload
   * ends before it begins.
   */
  readHeader(frames: FrameRows, at: number): void {
    const { bytes, owned, rows } = frames;
    const header = rows[at + ROW_HEADER]!;
    const qos = ((header >> 1) & 0b11) as QoS;
    const start = rows[at + ROW_OFFSET]! + (header >> 8);
    const topicEnd = start + 2 + ((bytes[start]! << 8) | bytes[start + 1]!);
    // Stored only on change: storing a reference costs more than storing a number, and a chunk has
    // many packets.
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
    this.payloadEnd = start + rows[at + ROW_REMAINING]!;
    this.packetId = qos > 0 ? (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]! : 0;
    this.topic = rows[at + ROW_TOPIC]!;
    this.qos = qos;
    this.isRetained = (header & RETAIN) !== 0;
    this.expiresAt = NEVER;
    this.isPayloadText = false;
  }
}

const RETAIN = 0x01;
