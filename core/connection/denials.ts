/** Refusals, told to logs and hooks: many clients never look at the reason codes that they get. */
import type { Decision } from "../boundary.ts";
import type { BrokerEvent, Events } from "../observe/events.ts";
import type { ReasonCode } from "../reason.ts";
import { FAILURE_MIN, Reason } from "../reason.ts";
import type { Connection } from "./connection.ts";

type DeniedEvent = Extract<BrokerEvent, { kind: "denied" }>;
/** A connection, or a client whose connection is gone. */
type DeniedClient = Pick<DeniedEvent, "clientId" | "info">;

/** Tells logs and hooks that a client was refused something about a topic. */
export function tellDenied(
  events: Events,
  { clientId, info }: DeniedClient,
  action: DeniedEvent["action"],
  topic: string,
  reason: ReasonCode,
): void {
  events.pushDenied({ kind: "denied", clientId, info, action, topic, reason });
}

/**
 * Why a decision that does not allow denies. What it says beside the reason is kept until the client is told: by
 * `refuse`, `fail`, or the acknowledgement.
 */
export function reasonOf(connection: Connection, decision: Decision): ReasonCode {
  if (decision.kind !== "deny") return Reason.NotAuthorized;
  connection.denial = decision;
  return decision.reason >= FAILURE_MIN ? decision.reason : Reason.NotAuthorized;
}
