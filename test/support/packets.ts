/** Packets of MQTT 3.1 and 3.1.1 as bytes, and back to a line of text that a test can read. */

export interface ConnectFields {
  readonly level?: 3 | 4 | 5;
  /** Sets the top bit of the level byte. */
  readonly isBridge?: boolean;
  readonly clientId?: string;
  readonly clean?: boolean;
  readonly keepAlive?: number;
  readonly will?: { topic: string; payload?: string; qos?: number; retain?: boolean };
  readonly username?: string;
  readonly password?: string;
}

export function connect(fields: ConnectFields = {}): Uint8Array {
  const {
    level = 4,
    isBridge = false,
    clientId = "c",
    clean = true,
    keepAlive = 0,
    will,
    username,
    password,
  } = fields;
  let flags = clean ? 0x02 : 0;
  if (will !== undefined) {
    flags |= 0x04 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0);
  }
  if (username !== undefined) flags |= 0x80;
  if (password !== undefined) flags |= 0x40;
  return packet(
    0x10,
    text(level === 3 ? "MQIsdp" : "MQTT"),
    [isBridge ? level | 0x80 : level, flags],
    u16(keepAlive),
    level === 5 ? [0] : [],
    text(clientId),
    ...(will === undefined ? [] : [text(will.topic), text(will.payload ?? "")]),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : [text(password)]),
  );
}

export interface PublishFields {
  readonly qos?: 0 | 1 | 2;
  readonly id?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
}

export function publish(
  topic: string,
  payload: string | Uint8Array,
  fields: PublishFields = {},
): Uint8Array {
  const { qos = 0, id = 1, retain = false, dup = false } = fields;
  const first = 0x30 | (qos << 1) | (retain ? 1 : 0) | (dup ? 8 : 0);
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return packet(first, text(topic), qos > 0 ? u16(id) : [], bytes);
}

export function subscribe(
  id: number,
  ...filters: readonly (readonly [string, number])[]
): Uint8Array {
  return packet(0x82, u16(id), ...filters.flatMap(([filter, qos]) => [text(filter), [qos]]));
}

export function unsubscribe(id: number, ...filters: readonly string[]): Uint8Array {
  return packet(0xa2, u16(id), ...filters.map(text));
}

export const puback = (id: number): Uint8Array => packet(0x40, u16(id));
export const pubrec = (id: number): Uint8Array => packet(0x50, u16(id));
export const pubrel = (id: number): Uint8Array => packet(0x62, u16(id));
export const pubcomp = (id: number): Uint8Array => packet(0x70, u16(id));
export const pingreq: Uint8Array = packet(0xc0);
export const pingresp: Uint8Array = packet(0xd0);
export const disconnect: Uint8Array = packet(0xe0);

export function hex(digits: string): Uint8Array {
  const pairs = digits.replaceAll(/\s/g, "").match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Splits a stream into whole packets, and what is left over, with at least how many bytes it lacks. */
export function split(stream: Uint8Array): {
  packets: Uint8Array[];
  rest: Uint8Array;
  missing: number;
} {
  const packets: Uint8Array[] = [];
  let at = 0;
  for (;;) {
    let remaining = 0;
    let header = 1;
    for (let shift = 0; ; shift += 7) {
      const byte = stream[at + header];
      if (byte === undefined) return { packets, rest: stream.subarray(at), missing: 1 };
      header++;
      remaining += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const end = at + header + remaining;
    const missing = end - stream.length;
    if (missing > 0) return { packets, rest: stream.subarray(at), missing };
    packets.push(stream.slice(at, end));
    at = end;
  }
}

/** One packet in words: `PUBLISH a/b "x" q1 #7 retain dup`, `SUBACK #1 0 1 128`, `PINGRESP`. */
export function describe(bytes: Uint8Array): string {
  const first = bytes[0]!;
  let at = 1;
  while (bytes[at++]! >= 0x80);
  const id = (from: number): number => (bytes[from]! << 8) | bytes[from + 1]!;
  const type = first >> 4;
  if (type === 3) {
    const qos = (first >> 1) & 3;
    const end = at + 2 + id(at);
    const topic = new TextDecoder().decode(bytes.subarray(at + 2, end));
    const payload = new TextDecoder().decode(bytes.subarray(qos > 0 ? end + 2 : end));
    const shown = payload.length > 64 ? `${payload.length} bytes` : `"${payload}"`;
    const words = ["PUBLISH", topic, shown, `q${qos}`];
    if (qos > 0) words.push(`#${id(end)}`);
    if ((first & 1) !== 0) words.push("retain");
    if ((first & 8) !== 0) words.push("dup");
    return words.join(" ");
  }
  if (type === 2) return `CONNACK present=${bytes[at]} code=${bytes[at + 1]}`;
  if (type === 9) return ["SUBACK", `#${id(at)}`, ...bytes.subarray(at + 2)].join(" ");
  if (type === 13) return "PINGRESP";
  if (type === 14) return `DISCONNECT code=${bytes[at]}`;
  const names: Record<number, string> = {
    4: "PUBACK",
    5: "PUBREC",
    6: "PUBREL",
    7: "PUBCOMP",
    11: "UNSUBACK",
  };
  return `${names[type] ?? `TYPE ${type}`} #${id(at)}`;
}

function packet(first: number, ...parts: readonly ArrayLike<number>[]): Uint8Array {
  const body = concat(...parts.map((part) => Uint8Array.from(part)));
  const length: number[] = [];
  let rest = body.length;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return concat(Uint8Array.of(first, ...length), body);
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...u16(bytes.length), ...bytes];
}

function u16(value: number): number[] {
  return [value >> 8, value & 0xff];
}
