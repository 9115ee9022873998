/**
 * The heap of the command's own process on Node: what is allocated for a short time gets little room.
 *
 * A storm of connections makes the engine's space for new objects grow to its maximum, which then stays in memory: half of
 * what 10 000 idle connections cost. The data path allocates next to nothing, so it gains nothing from
 * the room (docs/decisions/0007-a-small-young-generation.md).
 */
import { setFlagsFromString } from "node:v8";

/** To be called before much has been allocated. A program that embeds the broker decides for itself. */
export function keepHeapSmall(): void {
  // The one setting of that space which the engine reads each time, and not only when it starts.
  setFlagsFromString("--semi-space-growth-factor=1");
}
