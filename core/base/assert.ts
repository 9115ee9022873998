/** Assertions: how the core says that a fault is its own, or its host's. Never caught in the core. */

/** Throws AssertionError unless `condition`; `invariant` says what should have been true. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant);
}

/** For the branch that the types say cannot be taken. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}

export class AssertionError extends Error {
  constructor(invariant: string) {
    super(`assertion failed: ${invariant}`);
    this.name = "AssertionError";
  }
}
