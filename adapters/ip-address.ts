/** Parses IP addresses and address ranges. */

/** The 16 bytes of an address; an IPv4 address is in its IPv6-mapped form, RFC 4291 §2.5.5.2. */
export type AddressBytes = Uint8Array;

/** An address and its port, if it has one, such as `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`. */
export interface Endpoint {
  readonly bytes: AddressBytes;
  /** The address in its usual text form; an IPv4-mapped address as IPv4. */
  readonly address: string;
  readonly port: number | null;
}

/** Addresses that begin with the same bits. */
export interface AddressRange {
  readonly bytes: AddressBytes;
  readonly bitCount: number;
}

/** Null: the text is not an address. */
export function addressBytes(text: string): AddressBytes | null {
  const four = ipv4(text);
  if (four !== null) return mapped(four);
  return text.includes(":") ? ipv6(text.toLowerCase()) : null;
}

/** Parses an address with or without a port; null: it is neither. A hidden port, RFC 7239 §6.3, is ignored. */
export function endpoint(text: string): Endpoint | null {
  const [, inBrackets, ipv4Text, port] = ENDPOINT.exec(text) ?? [];
  const address = (inBrackets ?? ipv4Text ?? text).toLowerCase();
  const [, withoutZone] = ZONED.exec(address) ?? [];
  const bytes = addressBytes(withoutZone ?? address);
  const number = port === undefined || HIDDEN_PORT.test(port) ? null : portNumber(port);
  if (bytes === null || number === NO_PORT) return null;
  return { bytes, address: isMapped(bytes) ? bytes.subarray(12).join(".") : address, port: number };
}

function portNumber(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : NO_PORT;
  return number > PORT_MAX ? NO_PORT : number;
}

/** Parses an address, or a range such as `10.0.0.0/8`; null: it is neither. */
export function addressRange(text: string): AddressRange | null {
  const [, address, prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const bytes = addressBytes(address ?? "");
  if (bytes === null) return null;
  const isFour = !address!.includes(":");
  const bitsMax = isFour ? 32 : 128;
  const bits = prefix === undefined ? bitsMax : Number(prefix);
  return bits > bitsMax ? null : { bytes, bitCount: isFour ? 96 + bits : bits };
}

export function isInRange(address: AddressBytes, { bytes, bitCount }: AddressRange): boolean {
  for (let i = 0; i * 8 < bitCount; i++) {
    const unused = Math.max(0, (i + 1) * 8 - bitCount);
    if ((address[i]! ^ bytes[i]!) >> unused !== 0) return false;
  }
  return true;
}

function ipv4(text: string): readonly number[] | null {
  const parts = text.split(".");
  const isIt = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part));
  const numbers = isIt ? parts.map(Number) : [];
  return isIt && numbers.every((number) => number <= 255) ? numbers : null;
}

function ipv6(text: string): AddressBytes | null {
  const halves = withoutDots(text).split("::");
  if (text.length > IPV6_LENGTH_MAX || halves.length > 2) return null;
  const [before, after] = halves.map((half) => (half === "" ? [] : groups(half)));
  if (before === null || before === undefined || after === null) return null;
  const missing = 16 - before.length - (after?.length ?? 0);
  // `::` stands for at least one group.
  if (after === undefined ? missing !== 0 : missing < 2) return null;
  return Uint8Array.from([...before, ...new Array<number>(missing).fill(0), ...(after ?? [])]);
}

/** The last two groups may be written as an IPv4 address. */
function withoutDots(text: string): string {
  const start = text.lastIndexOf(":") + 1;
  const [a, b, c, d] = ipv4(text.slice(start)) ?? [];
  if (a === undefined) return text;
  return `${text.slice(0, start)}${(a * 256 + b!).toString(16)}:${(c! * 256 + d!).toString(16)}`;
}

/** The bytes of groups of up to four digits. */
function groups(text: string): readonly number[] | null {
  const all = text.split(":");
  if (!all.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return null;
  return all.flatMap((group) => {
    const number = Number.parseInt(group, 16);
    return [number >> 8, number & 0xff];
  });
}

function mapped(four: readonly number[]): AddressBytes {
  return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...four]);
}

function isMapped(bytes: AddressBytes): boolean {
  return isInRange(bytes, { bytes: mapped([0, 0, 0, 0]), bitCount: 96 });
}

/** `[address]` or `[address]:port`, or an IPv4 `address:port`. */
const ENDPOINT = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/;
const IPV6_LENGTH_MAX = 45;
/** An address with the name of a network interface, RFC 4007 §11, in characters that need no escape in a URL. */
const ZONED = /^([^%]*:[^%]*)%[\w.~-]{1,64}$/;
const HIDDEN_PORT = /^_[\w.-]+$/;
const PORT_MAX = 65_535;
const NO_PORT = -1;
