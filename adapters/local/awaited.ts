/** Waiting for an answer, and for how long. */

/**
 * Calls `over` once: with true when what this returns is called, with false where that takes longer than an
 * answer may. By the real clock: where a test has stopped time, who would let it go on may be waiting for this.
 */
export function awaited(over: (isAnswered: boolean) => void): () => void {
  const timer = startTimer(() => over(false), ANSWER_MILLIS_MAX);
  return () => {
    stopTimer(timer);
    over(true);
  };
}

/** Taken as they are now, whatever a test puts in their place later. */
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis;
const ANSWER_MILLIS_MAX = 1000;
