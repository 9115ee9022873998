/** The description of a client for the functions of a policy. */
import type { UpgradeRequest } from "../upgrade-request.ts";

/** The client whose request is checked. Every function gets the same object for one connection. */
export interface ClientIdentity {
  readonly clientId: string;
  readonly username: string | null;
  /** Such as `192.0.2.1:53490`. For a client behind a trusted proxy, the client's own address, which may lack a port. */
  readonly remote: string;
}

/** A client that connects. */
export interface ConnectingClient extends ClientIdentity {
  /** The HTTP request of its WebSocket; null for other transports, and once the client is connected. */
  readonly request: UpgradeRequest | null;
}
