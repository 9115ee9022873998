/** Waits for an event for a limited time. */
import { clearTimeout, setTimeout } from "../captured.ts";

/**
 * Calls `done` with true when the returned function is called, or with false if that takes too long. Uses the host's clock,
 * because the code that advances a test's virtual time may itself wait for this event.
 */
export function timeLimited(done: (isInTime: boolean) => void): () => void {
  const timer = setTimeout(() => done(false), WAIT_MILLIS_MAX);
  return () => {
    clearTimeout(timer);
    done(true);
  };
}

const WAIT_MILLIS_MAX = 1000;
