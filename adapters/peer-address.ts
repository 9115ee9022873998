/** Formats network addresses, the same on every runtime. */

/** `192.0.2.1:1883`, or `[2001:db8::1]:1883`. */
export function peerAddress(address: string, port: number): string {
  return authority(plainAddress(address), port);
}

/** A host and a port as in a URL. */
export function authority(host: string, port: number): string {
  return `${bracketed(host)}:${port}`;
}

/** An address as in a URL: IPv6 in brackets. */
export function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** Converts an IPv4-mapped IPv6 address, which a socket for IPv4 and IPv6 has, to IPv4, RFC 4291 §2.5.5.2. */
export function plainAddress(address: string): string {
  return address.startsWith(MAPPED) && address.includes(".")
    ? address.slice(MAPPED.length)
    : address;
}

const MAPPED = "::ffff:";
