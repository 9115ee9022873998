/** Authentication methods of MQTT 5.0 §4.12: what the embedding program may add, and what ships. */
import type { ClientIdentity } from "./policy.ts";

/** One method, such as SCRAM-SHA-256. */
export interface AuthenticationMethod {
  /** A client begins to authenticate, or to authenticate again. */
  begin(client: ClientIdentity): AuthenticationExchange;
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
  | { readonly kind: "refuse" };
