/** News of what clients are refused: many of them never look at the reason codes that they get. */
import type { BrokerEvent } from "../observe/events.ts";
import type { ReasonCode } from "../reason.ts";
import type { Parts } from "./parts.ts";

type DeniedEvent = Extract<BrokerEvent, { kind: "denied" }>;
/** A connection, or a client whose connection is gone. */
type DeniedClient = Pick<DeniedEvent, "clientId" | "info">;

/** Tells logs and hooks that a client was refused something about a topic. */
export function tellDenied(
  { events }: Parts,
  { clientId, info }: DeniedClient,
  action: DeniedEvent["action"],
  topic: string,
  reason: ReasonCode,
): void {
  events.pushDenied({ kind: "denied", clientId, info, action, topic, reason });
}
