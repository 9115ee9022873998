/**
 * Keeps the HTTP requests of WebSocket clients until the clients are connected.
 *
 * They are not part of `ConnInfo`, which appears in recordings, in `inspect` and in events. A request contains cookies,
 * tokens and passwords.
 */
import type { ConnInfo } from "../core/mod.ts";

/** The HTTP request that became a WebSocket. */
export interface UpgradeRequest {
  /** The path and the query. */
  readonly url: string;
  /** Values by header name in lower case. Values of the same name are joined by commas. The object has no prototype. */
  readonly headers: Readonly<Record<string, string>>;
}

export function upgradeRequest(
  url: string,
  headers: Iterable<readonly [name: string, value: string]>,
): UpgradeRequest {
  const record = Object.create(null) as Record<string, string>;
  for (const [name, value] of headers) record[name] = value;
  return { url, headers: record };
}

export function keepRequest(info: ConnInfo, request: UpgradeRequest): ConnInfo {
  requests.set(info, request);
  return info;
}

/** Null: the client does not use WebSocket, or is already connected. */
export function requestOf(info: ConnInfo): UpgradeRequest | null {
  return requests.get(info) ?? null;
}

/** Drops the request, which would cost memory for as long as the client is connected. */
export function forgetRequest(info: ConnInfo): void {
  requests.delete(info);
}

const requests = new WeakMap<ConnInfo, UpgradeRequest>();
