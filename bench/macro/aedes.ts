/** aedes with its memory persistence, as its README starts it. */
import { createServer } from "node:net";
import { Aedes } from "aedes";

const broker = await Aedes.createBroker({ concurrency: 1000, queueLimit: 100_000 });
createServer({ noDelay: true }, (socket) => broker.handle(socket)).listen(
  Number(process.argv[2]),
  "127.0.0.1",
  () => process.stdout.write("aedes listening\n"),
);
