/** What the program's functions answer: whether a client may do what it asks, and if not, why. */
import type { FailureCode, ReasonCode, ReasonPacket } from "../../core/mod.ts";
import { ConfigError, FAILURE_MIN, mayCarry, Reason, reasonName } from "../../core/mod.ts";
import { checkText, isObject } from "../checks.ts";
import type { Names } from "../options.ts";
import { checkOptions } from "../options.ts";

/** Why a client is refused. */
export interface Refusal {
  /**
   * A reason code that the answer to the client may carry, such as `Reason.ServerBusy`: of CONNACK, PUBACK or SUBACK.
   * Clients of MQTT 3.1 and 3.1.1 are told the return code of CONNACK that is nearest, or, where there is none, nothing.
   */
  readonly reason: number;
  /** Tells clients of MQTT 5.0 why, in at most 256 bytes. Default: the name of the reason. */
  readonly reasonString?: string;
}

/** Why a client may not connect. */
export interface ConnectRefusal extends Refusal {
  /** Where clients of MQTT 5.0 are to go, with the reasons `UseAnotherServer` and `ServerMoved`. */
  readonly serverReference?: string;
}

/** True: it may. False: it may not. */
export type Answer<R extends Refusal = Refusal> = boolean | R;

/** Which function answered, and so where a refusal is told. */
export type Question = "authenticate" | "authorizePublish" | "authorizeSubscribe";

const packets: Readonly<Record<Question, ReasonPacket>> = {
  authenticate: "CONNACK",
  authorizePublish: "PUBACK",
  authorizeSubscribe: "SUBACK",
};

/**
 * An answer as the core takes it: null, it may; or how it is refused, by `fallback` where the function does not say
 * why. Programs in JavaScript answer anything, or forget to: what is no answer throws ConfigError.
 */
export function refusalOf(
  question: Question,
  answer: unknown,
  fallback: ReasonCode,
): ConnectRefusal | null {
  if (answer === true) return null;
  if (answer === false) return { reason: fallback };
  if (!isObject(answer)) throw new ConfigError(question, answer, ALLOWED);
  return checkedRefusal(question, answer, packets[question]);
}

/** Throws ConfigError for what no such packet could tell. `field` names the refusal. */
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
/** What aedes has on the errors of its callbacks, and MQTT.js calls it. */
const advice: Readonly<Record<string, string>> = {
  returnCode: "use reason, such as Reason.BadUserNameOrPassword",
  reasonCode: "use reason, such as Reason.NotAuthorized",
};
const ALLOWED = "true, false, or an object with a reason";
/** Many may wait for a client that reads nothing. */
const REASON_STRING_BYTES_MAX = 256;
