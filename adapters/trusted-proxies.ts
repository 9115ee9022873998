/**
 * Finds the address of a WebSocket client behind proxies from `X-Forwarded-For` or `Forwarded` (RFC 7239). Only headers from
 * proxies that the operator trusts are used, because any client can send these headers.
 */
import { ConfigError } from "../core/mod.ts";
import { listOf } from "./checks.ts";
import type { AddressRange, Endpoint } from "./ip-address.ts";
import { addressRange, endpoint, isInRange } from "./ip-address.ts";
import { peerAddress } from "./peer-address.ts";

/** A header of a request by its name in lower case; null: it is missing. Headers of the same name are joined by commas. */
export type HeaderOf = (name: string) => string | null;

export class TrustedProxies {
  readonly #ranges: AddressRange[] = [];
  #trustsUnix = false;

  /** Addresses and address ranges, in an array or separated by commas. Throws ConfigError. */
  constructor(field: string, given: unknown) {
    for (const text of Array.isArray(given) && given.length === 0
      ? []
      : listOf(field, given, ALLOWED)) {
      const range = addressRange(text);
      if (text === UNIX) this.#trustsUnix = true;
      else if (range === null) throw new ConfigError(field, text, ALLOWED);
      else this.#ranges.push(range);
    }
  }

  /**
   * The address of the client whose request came from `peer`, an address as `peerAddress` writes it. Null: the headers
   * cannot be read, or they name different clients, because a proxy wrote one and the client the other.
   */
  clientOf(peer: string, headerOf: HeaderOf): string | null {
    if (!this.#hasPeer(peer)) return peer;
    const forwardedFor = headerOf("x-forwarded-for");
    const forwarded = headerOf("forwarded");
    const elements = forElements(forwarded ?? "");
    if (elements === null) return null;
    const fromForwardedFor = this.#walk(forwardedFor?.trim() ? forwardedFor.split(",") : []);
    const fromForwarded = this.#walk(elements);
    if (fromForwardedFor === null || fromForwarded === null) {
      return addressText((fromForwardedFor ?? fromForwarded)?.endpoint) ?? peer;
    }
    const client = agreed(fromForwardedFor, fromForwarded);
    return client === null ? null : (addressText(client.endpoint) ?? peer);
  }

  #hasPeer(peer: string): boolean {
    if (peer === UNIX) return this.#trustsUnix;
    const at = this.#ranges.length === 0 ? null : endpoint(peer);
    return at !== null && this.#has(at);
  }

  #has({ bytes }: Endpoint): boolean {
    return this.#ranges.some((range) => isInRange(bytes, range));
  }

  /**
   * The last address that does not belong to a trusted proxy. Each proxy adds the address of its peer at the end, and the client may
   * have invented the addresses before. If all addresses are trusted, it is the first readable one. Null: the chain is empty.
   */
  #walk(chain: readonly (string | null)[]): Walk | null {
    if (chain.length === 0) return null;
    let last: Endpoint | null = null;
    for (const text of chain.toReversed()) {
      const next = endpoint(text?.trim() ?? "");
      if (next === null) return { end: "unknown", endpoint: last };
      last = next;
      if (!this.#has(next)) return { end: "client", endpoint: next };
    }
    return { end: "proxy", endpoint: last };
  }
}

/** The result of reading a header from its end. */
interface Walk {
  /** Why reading stopped: at a client, at the beginning of the header after proxies only, or at an element without an address. */
  readonly end: "client" | "proxy" | "unknown";
  /** The last address that was read; null: none. */
  readonly endpoint: Endpoint | null;
}

/** The common result of both headers of a request; null: they do not agree. */
function agreed(a: Walk, b: Walk): Walk | null {
  if (a.end === b.end) return isSameAddress(a.endpoint, b.endpoint) ? a : null;
  // The proxy may have hidden the client in one header, and the client may have written the other.
  if (a.end === "unknown" || b.end === "unknown") return null;
  // A header that names only proxies does not name the client.
  return a.end === "client" ? a : b;
}

/**
 * The value of `for=` in each element of `Forwarded`, or null for none. Null as the result: the header cannot be read.
 * Empty elements are ignored, RFC 9110 §5.6.1.2.
 */
function forElements(header: string): readonly (string | null)[] | null {
  const elements: (string | null)[] = [];
  let element: string | null = null;
  let isEmpty = true;
  PAIR.lastIndex = 0;
  for (;;) {
    const pair = PAIR.exec(header);
    if (pair === null) return null;
    const [, name, quoted, token, end] = pair;
    if (name?.toLowerCase() === "for") {
      // Each parameter may occur once, RFC 7239 §4.
      if (element !== null) return null;
      element = quoted?.replaceAll(/\\(.)/g, "$1") ?? token!;
    }
    isEmpty &&= name === undefined && end !== ";";
    if (end === ";") continue;
    if (!isEmpty) elements.push(element);
    element = null;
    isEmpty = true;
    if (end === "") return elements;
  }
}

function isSameAddress(a: Endpoint | null, b: Endpoint | null): boolean {
  if (a === null || b === null) return a === b;
  return a.bytes.every((byte, index) => byte === b.bytes[index]);
}

function addressText(at: Endpoint | null | undefined): string | null {
  if (at === null || at === undefined) return null;
  if (at.port !== null) return peerAddress(at.address, at.port);
  return at.address.includes(":") ? `[${at.address}]` : at.address;
}

/** The peer of a server that listens on a Unix domain socket. */
export const UNIX = "unix";
/**
 * `name=value`, `name="value"` or nothing, RFC 7239 §4, and its end. The value may have more characters than a token, because
 * proxies quote too little.
 */
const PAIR = /[ \t]*(?:([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))[ \t]*)?(;|,|$)/y;
const ALLOWED = `addresses such as 192.0.2.1 or 2001:db8::1, ranges such as 10.0.0.0/8, or "${UNIX}"`;
