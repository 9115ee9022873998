/** Parking: a connection whose next step waits for something holds its input until it comes. */
import type { DecisionRequest } from "../boundary.ts";
import { EffectKind } from "../boundary.ts";
import { Reason } from "../reason.ts";
import type { Connection } from "./connection.ts";
import { Parked } from "./connection.ts";
import type { Parts } from "./parts.ts";

/** Asks the host to decide `request`, and parks the connection until it has. */
export function ask(parts: Parts, connection: Connection, request: DecisionRequest): void {
  connection.parked |= Parked.Decision;
  parts.requests.push(request);
  parts.effect(EffectKind.Decide, connection, Reason.Success);
}
