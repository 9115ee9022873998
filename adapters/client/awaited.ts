/** Waiting for an answer, and for how long. */
import { clearTimeout, setTimeout } from "../captured.ts";

/**
 * Calls `over` once: with true when what this returns is called, with false where that takes longer than an
 * answer may. By the real clock: where a test has stopped time, who would let it go on may be waiting for this.
 */
export function awaited(over: (isAnswered: boolean) => void): () => void {
  const timer = setTimeout(() => over(false), ANSWER_MILLIS_MAX);
  return () => {
    clearTimeout(timer);
    over(true);
  };
}

const ANSWER_MILLIS_MAX = 1000;
