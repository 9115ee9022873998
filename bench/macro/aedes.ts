/**
 * Starts aedes with its memory persistence. Its emitter keeps messages beyond `concurrency` in an
 * array and moves the whole array on each shift. With a deep queue that costs nine tenths of the
 * speed, so the limit is set high enough to avoid one.
 */
import { createServer } from "node:net";
import { Aedes } from "aedes";

const broker = await Aedes.createBroker({ concurrency: 100_000, queueLimit: 100_000 });
createServer({ noDelay: true }, (socket) => broker.handle(socket)).listen(
  Number(process.argv[2]),
  "127.0.0.1",
  () => process.stdout.write("aedes listening\n"),
);
