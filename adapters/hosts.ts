/** The addresses that a `host` option stands for. */
import { ConfigError } from "../core/mod.ts";
import { checkText, listOf } from "./checks.ts";
import { addressBytes, addressRange, isInRange } from "./ip-address.ts";

/** An address to listen on. */
export interface Host {
  readonly address: string;
  /** The address comes from `localhost`, and the machine may lack it, such as `::1` without IPv6. */
  readonly isOptional: boolean;
}

/** The addresses that no other one includes, each once, in the order of the option. Throws ConfigError. */
export function hostsOf(option: unknown, field: string): readonly Host[] {
  const isRequired = new Map<string, boolean>();
  for (const host of listOf(field, option, ALLOWED)) {
    checkText(field, host);
    if (host === "") throw new ConfigError(field, host, ALLOWED);
    const isLocal = host.toLowerCase() === LOCALHOST;
    for (const address of isLocal ? LOOPBACKS : [unbracketed(host)]) {
      isRequired.set(address, isRequired.get(address) === true || !isLocal);
    }
  }
  const hosts = Array.from(isRequired, ([address, isIt]) => ({ address, isOptional: !isIt }));
  // A listener on a wildcard address takes the port at each address that it includes, so another would find it in use.
  // One on `::` also accepts IPv4 connections.
  const any = hosts.find(({ address }) => isSame(address, "::"));
  if (any !== undefined) return [any];
  const anyIPv4 = hosts.find(({ address }) => isSame(address, "0.0.0.0"));
  if (anyIPv4 === undefined) return hosts;
  return hosts.filter((host) => host === anyIPv4 || !isIPv4(host.address));
}

function isSame(address: string, other: string): boolean {
  return addressBytes(address)?.join() === addressBytes(other)!.join();
}

function isIPv4(address: string): boolean {
  const bytes = addressBytes(address);
  return bytes !== null && isInRange(bytes, ANY_IPV4);
}

/** Whether an error means that the machine lacks the address, or that Deno has no permission for it. */
export function isAbsent(error: unknown): boolean {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  return ABSENT.has(code) || name === "NotCapable";
}

export function isLoopback(host: string): boolean {
  return host === LOCALHOST || host === "::1" || /^(::ffff:)?127(\.\d+){3}$/.test(host);
}

/** An address without the brackets that IPv6 addresses have in URLs. */
function unbracketed(host: string): string {
  return /^\[(.+)\]$/.exec(host)?.[1] ?? host;
}

export const LOCALHOST = "localhost";
const LOOPBACKS = ["127.0.0.1", "::1"] as const;
const ANY_IPV4 = addressRange("0.0.0.0/0")!;
const ALLOWED = "one or more addresses of this machine, such as 127.0.0.1, ::1 or 0.0.0.0";
const ABSENT: ReadonlySet<unknown> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);
