/** Finds the frames of a chunk byte by byte. Every Ingest in TypeScript uses this scan. */
import { Reason } from "../reason.ts";
import {
  HEADER_BYTES_MAX,
  ROW_HEADER,
  ROW_OFFSET,
  ROW_REMAINING,
  ROW_TOPIC,
  ROW_WORDS,
} from "./layout.ts";
import { PacketType } from "./packet.ts";

/** A table of topic names and their ids. */
export interface NameTable {
  /**
   * Returns the id of the name `bytes[start, end)` and interns a new name; minus a reason code if
   * it is not a topic name; 0 if the table is full and `mayEmpty` is false.
   */
  find(bytes: Uint8Array, start: number, end: number, mayEmpty: boolean): number;
}

/** Implements `Ingest.scan`; looks topic names up in `names`. */
export function scanFrames(
  chunk: Uint8Array,
  start: number,
  table: Uint32Array,
  frameBytesMax: number,
  names: NameTable,
): number {
  const chunkEnd = chunk.length;
  const rowsEnd = table.length - (table.length % ROW_WORDS);
  let row = 0;
  let fault = 0;
  while (row < rowsEnd) {
    const bodyStart = headerEnd(chunk, start, chunkEnd);
    if (bodyStart <= 0) {
      fault = bodyStart < 0 ? Reason.MalformedPacket : 0;
      break;
    }
    const remaining = remainingLength(chunk, start + 1, bodyStart);
    const frameEnd = bodyStart + remaining;
    if (frameEnd - start > frameBytesMax) {
      fault = Reason.PacketTooLarge;
      break;
    }
    if (frameEnd > chunkEnd) break;
    const first = chunk[start]!;
    let topic = 0;
    if (first >> 4 === PacketType.Publish) {
      const nameStart = bodyStart + 2;
      const nameEnd =
        remaining < 2 ? -1 : nameStart + ((chunk[bodyStart]! << 8) | chunk[bodyStart + 1]!);
      if (nameEnd < 0 || nameEnd > frameEnd) {
        fault = Reason.MalformedPacket;
        break;
      }
      if (nameEnd > nameStart) {
        topic = names.find(chunk, nameStart, nameEnd, row === 0);
        if (topic <= 0) {
          fault = -topic;
          break;
        }
      }
    }
    table[row + ROW_OFFSET] = start;
    table[row + ROW_HEADER] = first | ((bodyStart - start) << 8);
    table[row + ROW_REMAINING] = remaining;
    table[row + ROW_TOPIC] = topic;
    row += ROW_WORDS;
    start = frameEnd;
  }
  return row === 0 && fault !== 0 ? -fault : row / ROW_WORDS;
}

/**
 * Where the fixed header at `start` ends; 0 while it is incomplete, -1 if its length has a fifth
 * byte.
 */
function headerEnd(chunk: Uint8Array, start: number, end: number): number {
  for (let at = start + 1; at < end; at++) {
    if (chunk[at]! < 0x80) return at + 1;
    if (at - start === HEADER_BYTES_MAX - 1) return -1;
  }
  return 0;
}

function remainingLength(chunk: Uint8Array, at: number, end: number): number {
  let length = 0;
  for (let i = end - 1; i >= at; i--) length = (length << 7) | (chunk[i]! & 0x7f);
  return length;
}
