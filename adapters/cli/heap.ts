/**
 * Keeps the heap of the command's own process on Node small: short-lived objects get little space.
 *
 * A burst of connections makes the engine's space for new objects grow to its maximum, and the space does not shrink. This is half
 * of the memory of 10 000 idle connections. The data path allocates almost nothing, so it gains nothing from
 * a larger space (docs/decisions/0007-a-small-young-generation.md).
 */
import { setFlagsFromString } from "node:v8";

/** Call it before the process has allocated much. A program that embeds the broker controls its own heap. */
export function keepHeapSmall(): void {
  // The only setting of that space that the engine reads each time and not only at its start.
  setFlagsFromString("--semi-space-growth-factor=1");
}
