/** SIGINT and SIGTERM: the first stops the broker in order, the second at once. */
import type { Logger } from "@logtape/logtape";
import type { BrokerServer } from "../broker-server.ts";

export function stopOnSignals(broker: BrokerServer, log: Logger): void {
  let isStopping = false;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) process.exit(signal === "SIGINT" ? 130 : 143);
    isStopping = true;
    log.info("stopping", { signal });
    broker.close().then(
      () => {
        log.info("stopped");
        process.exit(0);
      },
      (error: unknown) => {
        log.error("could not stop in order", { error });
        process.exit(1);
      },
    );
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
}
