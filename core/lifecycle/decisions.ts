/** Questions that the policy could not answer at once: the connection is parked until the host decides. */
import type { DecisionRequest } from "../boundary.ts";
import { EffectKind } from "../boundary.ts";
import type { Connection } from "../connection/connection.ts";
import { Parked } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { Reason } from "../reason.ts";

/** Asks the host to decide `request`, and parks the connection until it has. */
export function requestDecision(
  context: BrokerContext,
  connection: Connection,
  request: DecisionRequest,
): void {
  connection.parked |= Parked.Decision;
  context.requests.push(request);
  context.pushEffect(EffectKind.Decide, connection, Reason.Success);
}
