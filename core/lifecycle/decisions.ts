/**
 * Requests to the host for decisions that the policy left pending. The connection is parked until
 * the host decides.
 */
import type { DecisionRequest } from "../boundary.ts";
import { EffectKind } from "../boundary.ts";
import type { Connection } from "../connection/connection.ts";
import { Parked } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { Reason } from "../reason.ts";

/** Requests a decision from the host and parks the connection until it arrives. */
export function requestDecision(
  context: BrokerContext,
  connection: Connection,
  request: DecisionRequest,
): void {
  connection.parked |= Parked.Decision;
  context.requests.push(request);
  context.pushEffect(EffectKind.Decide, connection, Reason.Success);
}
