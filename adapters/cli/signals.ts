/** SIGINT and SIGTERM: the first one stops the broker in order, the second one exits at once. */
import type { BrokerServer } from "../broker-server.ts";
import { monotonicMillis } from "../captured.ts";
import type { Log } from "./log.ts";
import { FLUSH_MILLIS_MAX } from "./log-output.ts";

export function stopOnSignals(broker: BrokerServer, log: Log): void {
  let isStopping = false;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) process.exit(signal === "SIGINT" ? 130 : 143);
    isStopping = true;
    log.info("stopping", { signal });
    const until = monotonicMillis() + STOP_MILLIS_MAX;
    const exit = (code: number): Promise<never> => {
      const left = until - monotonicMillis();
      const waitMillisMax = Math.max(FLUSH_MILLIS_MIN, Math.min(left, FLUSH_MILLIS_MAX));
      return log.end(waitMillisMax).then(() => process.exit(code));
    };
    void broker.close().then(
      () => {
        log.info("stopped");
        return exit(0);
      },
      (error: unknown) => {
        log.error("stopping failed", { error });
        return exit(1);
      },
    );
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
}

/**
 * Time for a stop. The broker waits up to 1.5 seconds for its clients, and the log has the rest, so that both together take less
 * than the two seconds that are promised, also on a busy machine.
 */
const STOP_MILLIS_MAX = 1600;
/** The log always gets this time, which is enough for a reader that reads. */
const FLUSH_MILLIS_MIN = 50;
