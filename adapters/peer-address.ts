/** How the address of a peer is shown, alike on every runtime. */

/** `192.0.2.1:1883`, or `[2001:db8::1]:1883`. */
export function peerAddress(address: string, port: number): string {
  return `${bracketed(plainAddress(address))}:${port}`;
}

/** An address as a URL has it: IPv6 in brackets. */
export function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** A socket that serves IPv4 and IPv6 has IPv4 addresses as IPv6 addresses, RFC 4291 §2.5.5.2: here they are IPv4. */
export function plainAddress(address: string): string {
  return address.startsWith(MAPPED) && address.includes(".")
    ? address.slice(MAPPED.length)
    : address;
}

const MAPPED = "::ffff:";
