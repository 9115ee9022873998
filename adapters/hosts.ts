/** The addresses of the machine that a `host` option names. */
import { ConfigError } from "../core/mod.ts";
import { checkText } from "./checks.ts";

/** An address to listen on. */
export interface Host {
  readonly address: string;
  /** `localhost` names it and the machine may lack it, such as `::1` where there is no IPv6. */
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
  // A listener on `::` takes IPv4 connections too, so that one on 0.0.0.0 would find its port in use.
  if (isRequired.has("::")) isRequired.delete("0.0.0.0");
  return Array.from(isRequired, ([address, isIt]) => ({ address, isOptional: !isIt }));
}

/** Whether an error of a runtime says that the machine lacks the address, or that Deno has no leave for it. */
export function isAbsent(error: unknown): boolean {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  return ABSENT.has(code) || name === "NotCapable";
}

export function isLoopback(host: string): boolean {
  return host === LOCALHOST || host === "::1" || /^(::ffff:)?127(\.\d+){3}$/.test(host);
}

/** As URLs have IPv6 addresses. */
function unbracketed(host: string): string {
  return /^\[(.+)\]$/.exec(host)?.[1] ?? host;
}

export const LOCALHOST = "localhost";
const LOOPBACKS = ["127.0.0.1", "::1"] as const;
const ABSENT: ReadonlySet<unknown> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);
