/** SIGINT and SIGTERM: the first stops the broker in order, the second at once. */
import type { BrokerServer } from "../broker-server.ts";
import type { Log } from "./log.ts";

export function stopOnSignals(broker: BrokerServer, log: Log): void {
  let isStopping = false;
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isStopping) process.exit(signal === "SIGINT" ? 130 : 143);
    isStopping = true;
    log.info({ signal }, "stopping");
    broker.close().then(
      () => {
        log.info({}, "stopped");
        process.exit(0);
      },
      (error: unknown) => {
        log.error(error, "could not stop in order");
        process.exit(1);
      },
    );
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
}
