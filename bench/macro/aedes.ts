/**
 * aedes with its memory persistence. Its emitter keeps what is beyond `concurrency` in an array that it shifts,
 * each time all of it: a deep queue there is a tenth of its speed, so there is none.
 */
import { createServer } from "node:net";
import { Aedes } from "aedes";

const broker = await Aedes.createBroker({ concurrency: 100_000, queueLimit: 100_000 });
createServer({ noDelay: true }, (socket) => broker.handle(socket)).listen(
  Number(process.argv[2]),
  "127.0.0.1",
  () => process.stdout.write("aedes listening\n"),
);
