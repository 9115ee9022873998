/** SIGINT and SIGTERM: the first one stops the broker in order, the second one exits at once. */
import type { BrokerServer } from "../broker-server.ts";
import type { Log } from "./log.ts";

export function stopOnSignals(broker: BrokerServer, log: Log): void {
  let isStopping = false;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) process.exit(signal === "SIGINT" ? 130 : 143);
    isStopping = true;
    log.info("stopping", { signal });
    const exit = (code: number): Promise<never> => log.end().then(() => process.exit(code));
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
