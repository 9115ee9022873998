/** The answers of the program's functions: whether a request is allowed, and if not, why. */
import type { FailureCode, ReasonCode, ReasonPacket } from "../../core/mod.ts";
import { ConfigError, FAILURE_MIN, mayCarry, Reason, reasonName } from "../../core/mod.ts";
import { checkText, isObject } from "../checks.ts";
import type { Names } from "../options.ts";
import { checkOptions } from "../options.ts";

/** Why a client is refused. */
export interface Refusal {
  /**
   * A reason code that CONNACK, PUBACK or SUBACK may carry, such as `Reason.ServerBusy`. Clients of MQTT 3.1 and 3.1.1 get
   * the nearest return code of CONNACK, or no CONNACK if there is none.
   */
  readonly reason: number;
  /** The Reason String for clients of MQTT 5.0, at most 256 bytes. Default: the name of the reason. */
  readonly reasonString?: string;
}

/** Why a client may not connect. */
export interface ConnectRefusal extends Refusal {
  /** The server to use instead, for clients of MQTT 5.0; with the reasons `UseAnotherServer` and `ServerMoved`. */
  readonly serverReference?: string;
}

/** True: allowed. False: refused. */
export type Answer<R extends Refusal = Refusal> = boolean | R;

/** A function of the program. It determines the packet that carries a refusal. */
export type PolicyFunctionName = "authenticate" | "authorizePublish" | "authorizeSubscribe";

const packets: Readonly<Record<PolicyFunctionName, ReasonPacket>> = {
  authenticate: "CONNACK",
  authorizePublish: "PUBACK",
  authorizeSubscribe: "SUBACK",
};

/**
 * Converts an answer for the core: null if the request is allowed, else the refusal, with the reason `fallback` if the function
 * gives none. Programs in JavaScript may return anything or nothing: an invalid answer throws ConfigError.
 */
export function refusalOf(
  name: PolicyFunctionName,
  answer: unknown,
  fallback: ReasonCode,
): ConnectRefusal | null {
  if (answer === true) return null;
  if (answer === false) return { reason: fallback };
  if (!isObject(answer)) throw new ConfigError(name, answer, ALLOWED);
  return checkedRefusal(name, answer, packets[name]);
}

/** Throws ConfigError for a refusal that the packet cannot carry. `field` names the refusal. */
export function checkedRefusal(
  field: string,
  refusal: object,
  packet: ReasonPacket,
): ConnectRefusal & { readonly reason: FailureCode } {
  const names = packet === "CONNACK" ? connectNames : refusalNames;
  checkOptions<Refusal>(field, refusal, names, (name) => advice[name] ?? null);
  const { reason, reasonString, serverReference } = refusal as ConnectRefusal;
  if (!isFailure(reason) || !mayCarry(packet, reason)) {
    const value = isFailure(reason) ? reasonName(reason) : reason;
    throw new ConfigError(`${field}.reason`, value, `a reason code of ${packet}, from 0x80`);
  }
  if (reasonString !== undefined) {
    checkText(`${field}.reasonString`, reasonString, REASON_STRING_BYTES_MAX);
  }
  if (serverReference !== undefined) {
    checkText(`${field}.serverReference`, serverReference);
    if (reason !== Reason.UseAnotherServer && reason !== Reason.ServerMoved) {
      const allowed = "a string, and only with the reason UseAnotherServer or ServerMoved";
      throw new ConfigError(`${field}.serverReference`, serverReference, allowed);
    }
  }
  return refusal as ConnectRefusal & { readonly reason: FailureCode };
}

function isFailure(reason: unknown): reason is FailureCode {
  return typeof reason === "number" && reason >= FAILURE_MIN;
}

const refusalNames: Names<Refusal> = { reason: true, reasonString: true };
const connectNames: Names<ConnectRefusal> = { ...refusalNames, serverReference: true };
/** The names of reason codes in errors of aedes and MQTT.js. */
const advice: Readonly<Record<string, string>> = {
  returnCode: "use reason, such as Reason.BadUserNameOrPassword",
  reasonCode: "use reason, such as Reason.NotAuthorized",
};
const ALLOWED = "true, false, or an object with a reason";
/** Bounded, because many may wait for a client that does not read. */
const REASON_STRING_BYTES_MAX = 256;
