/**
 * Divides output into WebSocket messages. MQTT allows a packet to be divided over messages [MQTT-6.0.0-2], but some clients
 * expect whole packets in a message, so a message ends where a packet ends. A message is one frame, because some clients do not
 * join frames.
 */
import type { Limits, OutBuffer } from "../core/mod.ts";
import { frameBytes } from "../core/mod.ts";

type Send = (bytes: Uint8Array, tail: Uint8Array | null) => void;

/** Calls `send` for each message of `out`: one, unless it is too long. The tail of a message follows its bytes. */
export function sendMessages({ bytes, length, tail }: OutBuffer, send: Send): void {
  const first = bytes.subarray(0, length);
  if (tail === null || length + tail.length <= MESSAGE_BYTES_MAX) send(first, tail);
  else sendApart(first, tail, send);
}

/** Sends the packets before the last as one message. Then sends the last packet, which has the tail, as one message or several. */
function sendApart(bytes: Uint8Array, tail: Uint8Array, send: Send): void {
  const start = lastPacket(bytes);
  if (start > 0) send(bytes.subarray(0, start), null);
  let at = MESSAGE_BYTES_MAX - (bytes.length - start);
  send(bytes.subarray(start), tail.subarray(0, at));
  for (; at < tail.length; at += MESSAGE_BYTES_MAX) {
    send(NO_BYTES, tail.subarray(at, at + MESSAGE_BYTES_MAX));
  }
}

/** The start of the packet that continues after `bytes`. */
function lastPacket(bytes: Uint8Array): number {
  for (let at = 0; ; ) {
    const end = at + frameBytes(bytes, at, bytes.length);
    if (end <= at || end > bytes.length) return at;
    at = end;
  }
}

/** The header of a server's frame, RFC 6455 §5.2, followed by room for `room` bytes of its payload. */
export function frameHead(opcode: number, length: number, room = 0): Uint8Array {
  const headBytes = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const head = new Uint8Array(headBytes + room);
  head[0] = FINAL | opcode;
  head[1] = headBytes === 2 ? length : headBytes === 4 ? 126 : 127;
  for (let at = headBytes - 1, rest = length; at >= 2; at--, rest = Math.floor(rest / 256)) {
    head[at] = rest & 0xff;
  }
  return head;
}

/** Maximum size of a client's message. It may hold several packets, but no message needs to be much longer than a packet. */
export function messageBytesMax({ packetBytesMax }: Limits): number {
  return Math.max(packetBytesMax, MESSAGE_BYTES_MIN) + MESSAGE_BYTES_MIN;
}

const MESSAGE_BYTES_MIN = 65_536;

export const BINARY = 2;
export const FINAL = 0x80;
const NO_BYTES = new Uint8Array(0);
/**
 * The longest message that WebSocket libraries of MQTT clients accept by default: `URLSession` of Apple's
 * systems and `websockets` of Python accept 1 MiB, in any number of frames; others accept more.
 */
export const MESSAGE_BYTES_MAX: number = 1024 * 1024;
