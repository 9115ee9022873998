/** Authentication methods of MQTT 5.0 §4.12: what the embedding program may add, and what ships. */
import { ConfigError } from "../../core/mod.ts";
import { checkedBytes, checkObject, checkText, FIELD_BYTES_MAX } from "../checks.ts";
import type { ConnectingClient } from "./policy.ts";
import type { ConnectRefusal } from "./refusal.ts";
import { checkedRefusal } from "./refusal.ts";

/** One method, such as SCRAM-SHA-256. */
export interface AuthenticationMethod {
  /** A client begins to authenticate, or to authenticate again. */
  begin(client: ConnectingClient): AuthenticationExchange;
}

/** One client's way through the method. */
export interface AuthenticationExchange {
  /** What the client says next; null: nothing. A rejection refuses it. */
  step(data: Uint8Array | null): Promise<AuthenticationStep>;
}

export type AuthenticationStep =
  /** The client answers `data`. */
  | { readonly kind: "challenge"; readonly data: Uint8Array }
  /** It is `username`. `data` is what it is told in the end. */
  | { readonly kind: "accept"; readonly username: string; readonly data?: Uint8Array }
  | ({ readonly kind: "refuse" } & Partial<ConnectRefusal>);

/** What a method said, where that is a step; else throws ConfigError. What is no step is to let nobody in. */
export function checkedStep(method: string, step: unknown): AuthenticationStep {
  const field = `methods.${method}`;
  checkObject(field, step);
  const { kind, data, username, ...refusal } = step as Readonly<Record<string, unknown>>;
  if (kind === "challenge" || (kind === "accept" && data !== undefined)) checkData(field, data);
  if (kind === "accept") checkText(`${field}.username`, username);
  else if (kind === "refuse") {
    if (Object.keys(refusal).length > 0) checkedRefusal(field, refusal, "CONNACK");
  } else if (kind !== "challenge") {
    throw new ConfigError(`${field}.kind`, kind, "challenge, accept, refuse");
  }
  return step as AuthenticationStep;
}

function checkData(field: string, data: unknown): void {
  if (checkedBytes(`${field}.data`, data, FIELD_BYTES_MAX) !== data) {
    throw new ConfigError(`${field}.data`, data, "bytes");
  }
}
