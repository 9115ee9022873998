/**
 * The requests by which WebSocket clients came, until they are let in.
 *
 * Kept beside `ConnInfo`, not in it: that is recorded, inspected and told in events, and a request has cookies,
 * tokens and passwords.
 */
import type { ConnInfo } from "../core/mod.ts";

/** The HTTP request that became a WebSocket. */
export interface UpgradeRequest {
  /** What was asked for: the path, with its query. */
  readonly url: string;
  /** Values by name in lower case; several of one name are joined by commas. Without a prototype. */
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

/** Null: it did not come by WebSocket, or is connected already. */
export function requestOf(info: ConnInfo): UpgradeRequest | null {
  return requests.get(info) ?? null;
}

/** It would cost memory for as long as the client is there. */
export function forgetRequest(info: ConnInfo): void {
  requests.delete(info);
}

const requests = new WeakMap<ConnInfo, UpgradeRequest>();
