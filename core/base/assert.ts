/** Assertions for faults of the core itself or of its host. The core never catches them. */

/**
 * Throws AssertionError unless `condition` holds; `invariant` states the claim in positive form.
 */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant);
}

/** Marks a branch that the types rule out. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}

export class AssertionError extends Error {
  constructor(invariant: string) {
    super(`assertion failed: ${invariant}`);
    this.name = "AssertionError";
  }
}
