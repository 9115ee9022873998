/** MQTT 5.0 packets and clients for the load. */
import type { Socket } from "node:net";
import { open } from "./client.ts";

/**
 * The features that a 5.0 flow uses: no properties, a Subscription Identifier, or topic aliases in
 * both directions.
 */
export type Five = "empty" | "identifier" | "aliases";

/** The Subscription Identifier is 1, which takes two bytes of properties in each delivery. */
export const IDENTIFIER_BYTES = 2;
export const ALIAS_BYTES = 3;
const IDENTIFIER = [0x0b, 1];
const ALIAS = [0x23, 0, 1];
const ALIAS_MAX = [0x22, 0, 4];

export function publishPacket5(
  topic: string,
  payload: Uint8Array,
  qos: number,
  id: number,
  hasAlias: boolean,
): Buffer {
  const name = Buffer.from(topic);
  const properties = hasAlias ? [ALIAS.length, ...ALIAS] : [0];
  const idBytes = qos > 0 ? u16(id) : [];
  const body = [
    Buffer.from(u16(name.length)),
    name,
    Buffer.from([...idBytes, ...properties]),
    payload,
  ];
  return packet(0x30 | (qos << 1), Buffer.concat(body));
}

/**
 * Connects a client of 5.0, and subscribes if a filter is given; resolves when both are
 * acknowledged.
 */
export function readyFive(
  port: number,
  clientId: string,
  filter: string | null,
  qos: number,
  five: Five,
  onBytes: (bytes: Uint8Array, count: number) => void,
): Promise<Socket> {
  return new Promise((resolve) => {
    let awaited = filter === null ? 1 : 2;
    let answers: Buffer = Buffer.alloc(0);
    const socket = open(port, (bytes, count) => {
      if (awaited === 0) {
        onBytes(bytes, count);
        return;
      }
      answers = Buffer.concat([answers, bytes.subarray(0, count)]);
      // CONNACK and SUBACK; both have a short remaining length.
      while (answers.length > 1 && answers.length >= 2 + answers[1]!) {
        answers = answers.subarray(2 + answers[1]!);
        awaited--;
      }
      if (awaited <= 0) {
        awaited = 0;
        resolve(socket);
      }
    });
    const takes = five === "aliases" ? [ALIAS_MAX.length, ...ALIAS_MAX] : [0];
    const head = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 0, ...takes]);
    socket.write(packet(0x10, Buffer.concat([head, text(clientId)])));
    if (filter === null) return;
    const properties = five === "identifier" ? [IDENTIFIER.length, ...IDENTIFIER] : [0];
    const body = [Buffer.from([0, 1, ...properties]), text(filter), Buffer.from([qos])];
    socket.write(packet(0x82, Buffer.concat(body)));
  });
}

/**
 * The frame lengths that a subscriber receives. With aliases, the first frame is longer: it has the
 * full topic and sets the alias.
 */
export function frameBytes5(topic: string, payload: Uint8Array, qos: number, five: Five) {
  const full = publishPacket5(topic, payload, qos, 1, false).length;
  if (five === "empty") return { usual: full, first: 0 };
  if (five === "identifier") return { usual: full + IDENTIFIER_BYTES, first: 0 };
  const usual = full - topic.length + ALIAS_BYTES;
  return { usual, first: full + ALIAS_BYTES - usual };
}

/**
 * A QoS 1 receiver: acknowledges each PUBLISH, many acknowledgements in one write. Frames are
 * shorter than 130 bytes.
 */
export function acknowledgerFive(socket: () => Socket, count: (frames: number) => void) {
  let partial: Buffer = Buffer.alloc(0);
  return (chunk: Uint8Array, byteCount: number): void => {
    const lent = chunk.subarray(0, byteCount);
    const bytes = partial.length === 0 ? lent : Buffer.concat([partial, lent]);
    const answers = Buffer.allocUnsafe(bytes.length + 4);
    let answered = 0;
    let at = 0;
    while (at + 1 < bytes.length && at + 2 + bytes[at + 1]! <= bytes.length) {
      const id = at + 4 + bytes[at + 3]!;
      answers[answered] = 0x40;
      answers[answered + 1] = 2;
      answers[answered + 2] = bytes[id]!;
      answers[answered + 3] = bytes[id + 1]!;
      answered += 4;
      at += 2 + bytes[at + 1]!;
    }
    partial = Buffer.from(bytes.subarray(at));
    if (answered === 0) return;
    socket().write(answers.subarray(0, answered));
    count(answered / 4);
  };
}

function packet(first: number, body: Buffer): Buffer {
  const bytes: number[] = [];
  let rest = body.length;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([first, ...bytes, rest]), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from(u16(bytes.length)), bytes]);
}

function u16(value: number): number[] {
  return [value >> 8, value & 0xff];
}
