/**
 * Reports denials to logs and hooks, because many clients ignore the reason codes that they
 * receive.
 */
import type { Decision } from "../boundary.ts";
import type { BrokerEvent, Events } from "../observe/events.ts";
import type { ReasonCode } from "../reason.ts";
import { FAILURE_MIN, Reason } from "../reason.ts";
import type { Connection } from "./connection.ts";

type DeniedEvent = Extract<BrokerEvent, { kind: "denied" }>;
/** A connection, or a client whose connection has ended. */
type DeniedClient = Pick<DeniedEvent, "clientId" | "info">;

/** Reports that a client was denied an action on a topic. */
export function reportDenied(
  events: Events,
  { clientId, info }: DeniedClient,
  action: DeniedEvent["action"],
  topic: string,
  reason: ReasonCode,
): void {
  events.pushDenied({ kind: "denied", clientId, info, action, topic, reason });
}

/**
 * The reason code of a decision that does not allow. Keeps the decision, whose explanation is sent
 * with the refusal, the DISCONNECT or the acknowledgement.
 */
export function denialReason(connection: Connection, decision: Decision): ReasonCode {
  if (decision.kind !== "deny") return Reason.NotAuthorized;
  connection.denial = decision;
  return decision.reason >= FAILURE_MIN ? decision.reason : Reason.NotAuthorized;
}
