/** The errors of a client within the process: the broker refused a request, or the connection is closed. */

import type { PropertyValues } from "../../core/mod.ts";
import { reasonName } from "../../core/mod.ts";

/** The broker refused a request with a reason code of 0x80 or more. */
export class RefusedError extends Error {
  /** The packet that contains the reason code. */
  readonly packet: "CONNACK" | "PUBACK" | "PUBREC" | "SUBACK" | "UNSUBACK";
  readonly reason: number;
  readonly properties: PropertyValues;

  constructor(
    action: string,
    packet: RefusedError["packet"],
    reason: number,
    properties: PropertyValues,
  ) {
    super(`${action}: ${reasonText(reason)}`);
    this.name = "RefusedError";
    this.packet = packet;
    this.reason = reason;
    this.properties = properties;
  }
}

/** The connection is closed. The request was not executed, or the client does not know whether it was. */
export class ClosedError extends Error {
  /** The reason code of `LocalClient.closed`. */
  readonly reason: number;

  constructor(action: string, reason: number) {
    super(`${action}: the connection is closed${reason === 0 ? "" : `, ${reasonText(reason)}`}`);
    this.name = "ClosedError";
    this.reason = reason;
  }
}

function reasonText(reason: number): string {
  return `${reasonName(reason)} (0x${reason.toString(16).padStart(2, "0")})`;
}
