/** Parking: a connection whose next step waits for something holds its input until it comes. */
import type { DecisionRequest } from "../boundary.ts";
import { EffectKind } from "../boundary.ts";
import type { BrokerContext } from "../context.ts";
import { Reason } from "../reason.ts";
import type { Connection } from "./connection.ts";
import { Parked } from "./connection.ts";

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
