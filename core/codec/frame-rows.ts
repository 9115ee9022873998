/** The frames that were found in the bytes at hand, one row each. */
import { ROW_HEADER, ROW_OFFSET, ROW_REMAINING, ROW_TOPIC } from "./layout.ts";

/**
 * What the packet handlers read of a chunk. One object serves all chunks, for they are handled one at a time:
 * its fields are set once a chunk, and a handler is told only where its row begins.
 */
export class FrameRows {
  /** What the frames lie in. */
  bytes: Uint8Array = new Uint8Array(0);
  /** The buffer that `bytes` begins, where a message may take it over; null: what a message needs is copied. */
  owned: Uint8Array | null = null;
  /** Rows of four words, see codec/layout.ts. */
  rows: Uint32Array = new Uint32Array(0);

  /** The first byte of the frame in row `at`. */
  firstByte(at: number): number {
    return this.rows[at + ROW_HEADER]! & 0xff;
  }
  /** Where the frame begins. */
  offset(at: number): number {
    return this.rows[at + ROW_OFFSET]!;
  }
  /** Where its variable header begins. */
  start(at: number): number {
    return this.rows[at + ROW_OFFSET]! + (this.rows[at + ROW_HEADER]! >> 8);
  }
  /** Bytes of its variable header and payload. */
  remaining(at: number): number {
    return this.rows[at + ROW_REMAINING]!;
  }
  /** The topic id of a PUBLISH; 0: no topic name. */
  topic(at: number): number {
    return this.rows[at + ROW_TOPIC]!;
  }
}
