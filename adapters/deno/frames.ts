/**
 * Decodes the WebSocket frames of a client, RFC 6455 §5, and encodes those of the server.
 *
 * For MQTT, the payloads of binary frames are one stream of bytes, however it is divided into frames [MQTT-6.0.0-2]. Therefore no
 * message is assembled, and a message that never ends costs no memory.
 */

import { BINARY, FINAL, frameHead } from "../websocket-messages.ts";

/** Extracts the payloads of one client's frames. */
export class FrameReader {
  readonly #messageBytesMax: number;
  readonly #head = new Uint8Array(HEAD_BYTES_MAX);
  #headBytes = 0;
  readonly #mask = new Uint8Array(MASK_BYTES);
  /** Remaining payload bytes of the current frame. */
  #left = 0;
  /** Payload bytes of the current frame so far. */
  #payloadBytes = 0;
  #opcode = 0;
  /** The payload of a control frame. */
  #payload: Uint8Array = NO_BYTES;
  /** Payload bytes of the current message, over all its frames. */
  #messageBytes = 0;
  #isInMessage = false;
  /** The payload of the last Ping, for `pongFrame`; null: no Ping was received. */
  ping: Uint8Array | null = null;
  /** The code to close with; 0: the connection continues. Bytes after the fault or the Close frame are ignored. */
  closeCode = 0;
  /** The client violated the protocol. If false, `closeCode` is from its Close frame. */
  isBroken = false;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Moves the payloads of binary frames to the front of `chunk`. Returns their size. */
  unframe(chunk: Uint8Array): number {
    let length = 0;
    for (let at = 0; at < chunk.length && this.closeCode === 0; ) {
      if (this.#left === 0) {
        this.#readHead(chunk[at++]!);
        continue;
      }
      const count = Math.min(this.#left, chunk.length - at);
      const isControl = this.#opcode >= CLOSE;
      const into = isControl ? this.#payload : chunk;
      this.#unmask(chunk, at, count, into, isControl ? this.#payloadBytes : length);
      if (!isControl) length += count;
      at += count;
      this.#payloadBytes += count;
      this.#left -= count;
      if (this.#left === 0 && isControl) this.#endControl();
    }
    return length;
  }

  #unmask(chunk: Uint8Array, at: number, count: number, into: Uint8Array, to: number): void {
    const mask = this.#mask;
    for (let i = 0, n = this.#payloadBytes; i < count; i++, n++) {
      into[to + i] = chunk[at + i]! ^ mask[n & 3]!;
    }
  }

  /** Reads one byte of a header. */
  #readHead(byte: number): void {
    const head = this.#head;
    head[this.#headBytes++] = byte;
    if (this.#headBytes < 2) return;
    const short = head[1]! & 0x7f;
    // A control frame must not have an extended length. Like `ws`, accepts an extended length of others even if it is not needed.
    const isTooLong = (head[0]! & CLOSE) !== 0 && short > CONTROL_BYTES_MAX;
    if (head[1]! < MASKED || isTooLong) {
      this.#fail(PROTOCOL_ERROR);
      return;
    }
    const maskAt = short === 127 ? 10 : short === 126 ? 4 : 2;
    if (this.#headBytes < maskAt + MASK_BYTES) return;
    this.#headBytes = 0;
    this.#mask.set(head.subarray(maskAt, maskAt + MASK_BYTES));
    let length = maskAt === 2 ? short : 0;
    // Not exact beyond 2 ** 53, which is far more than the limit.
    for (let i = 2; i < maskAt; i++) length = length * 256 + head[i]!;
    this.#begin(head[0]!, length);
  }

  #begin(first: number, length: number): void {
    const isFinal = first >= FINAL;
    const opcode = first & 0x0f;
    const isControl = opcode >= CLOSE;
    const isKnown = opcode <= BINARY || (isControl && opcode <= PONG);
    const isInOrder = isControl ? isFinal : (opcode === CONTINUATION) === this.#isInMessage;
    if ((first & RESERVED) !== 0 || !isKnown || !isInOrder) {
      this.#fail(PROTOCOL_ERROR);
      return;
    }
    if (opcode === TEXT) {
      this.#fail(UNACCEPTABLE); // [MQTT-6.0.0-1]
      return;
    }
    this.#opcode = opcode;
    this.#left = length;
    this.#payloadBytes = 0;
    if (isControl) {
      this.#payload = length === 0 ? NO_BYTES : new Uint8Array(length);
      if (length === 0) this.#endControl();
      return;
    }
    this.#messageBytes += length;
    if (this.#messageBytes > this.#messageBytesMax) this.#fail(TOO_BIG);
    this.#isInMessage = !isFinal;
    if (isFinal) this.#messageBytes = 0;
  }

  #endControl(): void {
    const payload = this.#payload;
    if (this.#opcode === PING) this.ping = payload;
    if (this.#opcode !== CLOSE) return;
    const code = payload.length === 0 ? NORMAL : payload[0]! * 256 + (payload[1] ?? 0);
    if (payload.length === 1 || !isCode(code)) this.#fail(PROTOCOL_ERROR);
    else if (!isText(payload.subarray(2))) this.#fail(INVALID_PAYLOAD);
    else this.closeCode = code;
  }

  #fail(code: number): void {
    this.closeCode = code;
    this.isBroken = true;
  }
}

/** Whether a peer may close with this code, RFC 6455 §7.4. */
function isCode(code: number): boolean {
  return (
    (code >= NORMAL && code <= UNACCEPTABLE) ||
    (code >= INVALID_PAYLOAD && code <= BAD_GATEWAY) ||
    (code >= PRIVATE_MIN && code <= PRIVATE_MAX)
  );
}

function isText(bytes: Uint8Array): boolean {
  try {
    utf8.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The start of a frame: its header and a copy of `bytes`. The caller sends the other `restBytes` of its payload. */
export function binaryFrame(bytes: Uint8Array, restBytes: number): Uint8Array {
  return frame(BINARY, bytes, restBytes);
}

export function pongFrame(payload: Uint8Array): Uint8Array {
  return frame(PONG, payload, 0);
}

export function closeFrame(code: number): Uint8Array {
  return frame(CLOSE, Uint8Array.of(code >> 8, code & 0xff), 0);
}

function frame(opcode: number, bytes: Uint8Array, restBytes: number): Uint8Array {
  const made = frameHead(opcode, bytes.length + restBytes, bytes.length);
  made.set(bytes, made.length - bytes.length);
  return made;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
const CONTINUATION = 0;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const RESERVED = 0x70;
const MASKED = 0x80;
const MASK_BYTES = 4;
const HEAD_BYTES_MAX = 14;
const CONTROL_BYTES_MAX = 125;
const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;
const UNACCEPTABLE = 1003;
const INVALID_PAYLOAD = 1007;
const TOO_BIG = 1009;
const BAD_GATEWAY = 1014;
const PRIVATE_MIN = 3000;
const PRIVATE_MAX = 4999;
const NO_BYTES = new Uint8Array(0);
