/**
 * Starts aedes with its memory persistence, or with LevelDB in the folder of the second argument. Its emitter keeps messages beyond `concurrency` in an
 * array and moves the whole array on each shift. With a deep queue that costs nine tenths of the
 * speed, so the limit is set high enough to avoid one.
 */
import { createServer } from "node:net";
import { Aedes } from "aedes";

const folder = process.argv[3];
const broker = await Aedes.createBroker({
  concurrency: 100_000,
  queueLimit: 100_000,
  ...(folder === undefined ? {} : { persistence: await levelPersistence(folder) }),
});
createServer({ noDelay: true }, (socket) => broker.handle(socket)).listen(
  Number(process.argv[2]),
  "127.0.0.1",
  () => process.stdout.write("aedes listening\n"),
);

async function levelPersistence(path: string): Promise<unknown> {
  const { ClassicLevel } = await import("classic-level");
  // It has no types.
  const name: string = "aedes-persistence-level";
  const module = (await import(name)) as { readonly default: (db: unknown) => unknown };
  return module.default(new ClassicLevel(path, { valueEncoding: "binary" }));
}
