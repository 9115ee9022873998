/** The addresses that a `host` option stands for. */
import { ConfigError } from "../core/mod.ts";
import { checkText } from "./checks.ts";

/** An address to listen on. */
export interface Host {
  readonly address: string;
  /** The address comes from `localhost`, and the machine may lack it, such as `::1` without IPv6. */
  readonly isOptional: boolean;
}

/** Each address once, in the order of the option. Throws ConfigError. */
export function hostsOf(option: unknown, field: string): readonly Host[] {
  const given: readonly unknown[] = Array.isArray(option) ? option : [option];
  if (given.length === 0) throw new ConfigError(field, "[]", "one or more addresses");
  const isRequired = new Map<string, boolean>();
  for (const host of given) {
    checkText(field, host);
    if (host === "") throw new ConfigError(field, host, "an address of this machine");
    const isLocal = host.toLowerCase() === LOCALHOST;
    for (const address of isLocal ? LOOPBACKS : [unbracketed(host)]) {
      isRequired.set(address, isRequired.get(address) === true || !isLocal);
    }
  }
  // A listener on `::` also accepts IPv4 connections, so a listener on 0.0.0.0 would find its port in use.
  if (isRequired.has("::")) isRequired.delete("0.0.0.0");
  return Array.from(isRequired, ([address, isIt]) => ({ address, isOptional: !isIt }));
}

/** Whether an error says that the machine lacks the address, or that Deno has no permission for it. */
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
const ABSENT: ReadonlySet<unknown> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);
