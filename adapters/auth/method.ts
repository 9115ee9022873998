/** Authentication methods of MQTT 5.0 §4.12: the interface for methods of the embedding program and for the included one. */
import { ConfigError } from "../../core/mod.ts";
import {
  checkedBytes,
  checkObject,
  checkSupplied,
  checkText,
  FIELD_BYTES_MAX,
  isPlain,
} from "../checks.ts";
import { checkOptions } from "../options.ts";
import type { ConnectingClient } from "./client-identity.ts";
import type { ConnectRefusal } from "./refusal.ts";
import { checkedRefusal } from "./refusal.ts";

/** An authentication method, such as SCRAM-SHA-256. */
export interface AuthenticationMethod {
  /** Called when a client begins to authenticate or to re-authenticate. */
  begin(client: ConnectingClient): AuthenticationExchange;
}

/** The exchange of one client with the method. */
export interface AuthenticationExchange {
  /** Takes the next authentication data of the client; null: there is none. A rejection refuses the client. */
  step(data: Uint8Array | null): Promise<AuthenticationStep>;
}

export type AuthenticationStep =
  /** The client has to answer `data`. */
  | { readonly kind: "challenge"; readonly data: Uint8Array }
  /** The client is `username`. `data` is its final authentication data. */
  | { readonly kind: "accept"; readonly username: string; readonly data?: Uint8Array }
  | ({ readonly kind: "refuse" } & Partial<ConnectRefusal>);

/** Checks what `begin` of a method returned. Throws ConfigError. */
export function checkedExchange(method: string, exchange: unknown): AuthenticationExchange {
  const field = `methods.${method}.begin()`;
  checkObject(field, exchange);
  checkSupplied(field, exchange, "step");
  return exchange as AuthenticationExchange;
}

/** Checks the result of a step. Throws ConfigError for an invalid one, so that it lets no client in. */
export function checkedStep(method: string, step: unknown): AuthenticationStep {
  const field = `methods.${method}`;
  checkObject(field, step);
  const { kind, data, username, ...refusal } = step as Readonly<Record<string, unknown>>;
  if (kind === "refuse") {
    if (Object.keys(refusal).length > 0) checkedRefusal(field, refusal, "CONNACK");
    return step as AuthenticationStep;
  }
  if (kind !== "challenge" && kind !== "accept") {
    throw new ConfigError(`${field}.kind`, kind, "challenge, accept, refuse");
  }
  // An instance of a class may have more of its own.
  if (isPlain(step)) checkOptions(field, step, { kind: true, data: true, username: true });
  if (kind === "challenge" || data !== undefined) checkData(field, data);
  if (kind === "accept") checkText(`${field}.username`, username);
  return step as AuthenticationStep;
}

function checkData(field: string, data: unknown): void {
  if (checkedBytes(`${field}.data`, data, FIELD_BYTES_MAX) !== data) {
    throw new ConfigError(`${field}.data`, data, "bytes");
  }
}
