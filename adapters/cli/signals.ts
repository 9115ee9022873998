/**
 * The ends of the command. SIGINT and SIGTERM: the first one stops the broker in order, the second one exits at once. A
 * failure of the store stops it in order too, with exit code 1, so that a supervisor starts it again.
 */
import type { BrokerServer } from "../broker-server.ts";
import { monotonicMillis } from "../captured.ts";
import type { Log } from "./log.ts";
import { FLUSH_MILLIS_MAX } from "./log-output.ts";

export function stopOnSignals(broker: BrokerServer, log: Log): void {
  let isStopping = false;
  const stop = (code: number): void => {
    isStopping = true;
    const until = monotonicMillis() + STOP_MILLIS_MAX;
    const exit = (exitCode: number): Promise<never> => {
      const left = until - monotonicMillis();
      const waitMillisMax = Math.max(FLUSH_MILLIS_MIN, Math.min(left, FLUSH_MILLIS_MAX));
      return log.end(waitMillisMax).then(() => process.exit(exitCode));
    };
    void broker.close().then(
      () => {
        logLost(broker, log);
        log.info("stopped");
        return exit(code);
      },
      (error: unknown) => {
        logLost(broker, log);
        log.error("stopping failed", { error });
        return exit(1);
      },
    );
  };
  const handleSignal = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) process.exit(signal === "SIGINT" ? 130 : 143);
    log.info("stopping", { signal });
    stop(0);
  };
  process.on("SIGINT", handleSignal);
  process.on("SIGTERM", handleSignal);
  broker.on("storeFailed", ({ error }) => {
    log.error("the store failed", { error });
    if (!isStopping) stop(1);
  });
}

/** Logs how many messages the stop loses: their publishers have the acknowledgement, and the store does not have them. */
function logLost(broker: BrokerServer, log: Log): void {
  const count = broker.countUnstored();
  if (count > 0)
    log.error("messages that were acknowledged on receipt could not be stored", { count });
}

/**
 * Time for a stop. The broker waits up to 1.5 seconds for its clients, and the log has the rest, so that both together take less
 * than the two seconds that are promised, also on a busy machine.
 */
const STOP_MILLIS_MAX = 1600;
/** The log always gets this time, which is enough for a reader that reads. */
const FLUSH_MILLIS_MIN = 50;
