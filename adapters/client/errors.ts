/** How a client within the process fails: the broker said no, or the connection is over. */

import type { PropertyValues } from "../../core/mod.ts";
import { reasonName } from "../../core/mod.ts";

/** The broker refused what was asked, with a reason code of 0x80 or more. */
export class RefusedError extends Error {
  /** Which packet said so. */
  readonly packet: "CONNACK" | "PUBACK" | "PUBREC" | "SUBACK" | "UNSUBACK";
  readonly reason: number;
  readonly properties: PropertyValues;

  constructor(
    what: string,
    packet: RefusedError["packet"],
    reason: number,
    properties: PropertyValues,
  ) {
    super(`${what}: ${worded(reason)}`);
    this.name = "RefusedError";
    this.packet = packet;
    this.reason = reason;
    this.properties = properties;
  }
}

/** The connection is over: what was asked was not done, or nobody knows whether it was. */
export class ClosedError extends Error {
  /** As `LocalClient.closed` tells it. */
  readonly reason: number;

  constructor(what: string, reason: number) {
    super(`${what}: the connection is closed${reason === 0 ? "" : `, ${worded(reason)}`}`);
    this.name = "ClosedError";
    this.reason = reason;
  }
}

function worded(reason: number): string {
  return `${reasonName(reason)} (0x${reason.toString(16).padStart(2, "0")})`;
}
