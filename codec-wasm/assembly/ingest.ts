/**
 * The ingest pass: finds the frames of a chunk, checks and interns the topic names of PUBLISH
 * packets, and writes one row of four u32 per frame. One call per chunk.
 */
import {
  FAULT_MALFORMED,
  FAULT_TOO_LARGE,
  HEADER_BYTES_MAX,
  NEEDS_WINDOW,
  ROW_WORDS,
} from "../../core/codec/layout";
import { find } from "./names";

let input: usize = 0;
let table: usize = 0;

/** `inputAt` is where the host writes a window, `tableAt` where a scan writes its rows. */
export function initIngest(inputAt: usize, tableAt: usize): void {
  input = inputAt;
  table = tableAt;
}

/**
 * Scans the window at `input`, the first `windowBytes` of `availableBytes`, and writes at most
 * `rowsMax` rows to `table`, with offsets counted from `offset`. Returns the number of rows; minus
 * the reason code if the first frame is at fault; `NEEDS_WINDOW` if the scan needs more of the
 * first frame than the window holds.
 */
export function scan(
  windowBytes: u32,
  availableBytes: u32,
  rowsMax: u32,
  frameBytesMax: u32,
  offset: u32,
): i32 {
  const window = input;
  let at: u32 = 0;
  let rows: u32 = 0;
  let fault: i32 = 0;
  let row = table;
  let isCut = false;
  while (rows < rowsMax) {
    let length: u32 = 1;
    let remaining: u32 = 0;
    let byte: u32 = 0x80;
    for (let shift: u32 = 0; byte >= 0x80; shift += 7) {
      if (at + length >= windowBytes || length === HEADER_BYTES_MAX) break;
      byte = load<u8>(window + at + length);
      remaining |= (byte & 0x7f) << shift;
      length++;
    }
    if (byte >= 0x80) {
      if (length === HEADER_BYTES_MAX) fault = FAULT_MALFORMED;
      else isCut = windowBytes < availableBytes;
      break;
    }
    const frame = length + remaining;
    if (frame > frameBytesMax) {
      fault = FAULT_TOO_LARGE;
      break;
    }
    if (frame > availableBytes - at) break;
    const first: u32 = load<u8>(window + at);
    let topic: i32 = 0;
    if (first >> 4 === PUBLISH) {
      if (remaining < 2) {
        fault = FAULT_MALFORMED;
        break;
      }
      const body = at + length;
      if (body + 2 > windowBytes) {
        isCut = true;
        break;
      }
      const name: u32 = ((<u32>load<u8>(window + body)) << 8) | load<u8>(window + body, 1);
      if (name + 2 > remaining) {
        fault = FAULT_MALFORMED;
        break;
      }
      if (body + 2 + name > windowBytes) {
        isCut = true;
        break;
      }
      if (name > 0) {
        topic = find(window + body + 2, name, rows === 0);
        if (topic <= 0) {
          fault = -topic;
          break;
        }
      }
    }
    store<u32>(row, offset + at);
    store<u32>(row, first | (length << 8), 4);
    store<u32>(row, remaining, 8);
    store<u32>(row, topic, 12);
    row += ROW_WORDS * 4;
    rows++;
    at += frame;
  }
  if (rows === 0 && fault !== 0) return -fault;
  return rows === 0 && isCut ? NEEDS_WINDOW : <i32>rows;
}

const PUBLISH: u32 = 3;
