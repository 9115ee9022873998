/** The frames found in a chunk, one row each. */
import { ROW_HEADER, ROW_OFFSET, ROW_REMAINING, ROW_TOPIC } from "./layout.ts";

/**
 * The chunk that packet handlers read. Chunks are handled one at a time, so one object serves
 * all of them: its fields are set once a chunk, and a handler gets only the position of its row.
 */
export class FrameRows {
  /** The bytes that contain the frames. */
  bytes: Uint8Array = new Uint8Array(0);
  /**
   * The buffer that `bytes` is the start of, if a message may adopt it; null: messages copy their
   * bytes.
   */
  owned: Uint8Array | null = null;
  /** Rows of four words (codec/layout.ts). */
  rows: Uint32Array = new Uint32Array(0);

  /** The first byte of the frame in the row at `at`. */
  firstByte(at: number): number {
    return this.rows[at + ROW_HEADER]! & 0xff;
  }
  /** The position where the frame begins. */
  offset(at: number): number {
    return this.rows[at + ROW_OFFSET]!;
  }
  /** The position where its variable header begins. */
  start(at: number): number {
    return this.rows[at + ROW_OFFSET]! + (this.rows[at + ROW_HEADER]! >> 8);
  }
  /** The length of its variable header and payload, in bytes. */
  remaining(at: number): number {
    return this.rows[at + ROW_REMAINING]!;
  }
  /** The topic id of a PUBLISH; 0 if the topic name is empty. */
  topic(at: number): number {
    return this.rows[at + ROW_TOPIC]!;
  }
}
