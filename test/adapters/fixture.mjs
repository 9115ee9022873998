// A broker on the runtime that runs this file: `<runtime> fixture.mjs '{"limits":{}}'`. Prints its addresses, then
// answers lines on standard input: "counters", "told" (with `watch: true`: the arguments of `authenticate` and
// "connected"), and "stop".
const deno = globalThis.Deno;
const args = deno === undefined ? process.argv.slice(2) : deno.args;
// Literal imports, so that Deno loads them before it runs and needs no permission to read.
const { createBroker } =
  deno !== undefined
    ? await import("../../dist/adapters/deno/mod.js")
    : globalThis.Bun !== undefined
      ? await import("../../dist/adapters/bun/mod.js")
      : await import("../../dist/adapters/node/mod.js");

const { watch = false, ...options } = JSON.parse(args[0] ?? "{}");
const told = [];
const authenticate = (client) => told.push({ client: { ...client } }) > 0;
const broker = await createBroker({
  tcp: { port: 0 },
  ws: { port: 0 },
  ...(watch ? { authenticate } : {}),
  ...options,
});
if (watch) broker.on("connected", ({ info }) => told.push({ info }));
const say = (what) => console.log(JSON.stringify(what));
say({ addresses: broker.addresses });

const input =
  deno === undefined
    ? (await import("node:stream")).Readable.toWeb(process.stdin)
    : deno.stdin.readable;
let line = "";
for await (const text of input.pipeThrough(new TextDecoderStream())) {
  line += text;
  for (let end = line.indexOf("\n"); end >= 0; end = line.indexOf("\n")) {
    const command = line.slice(0, end);
    line = line.slice(end + 1);
    if (command === "counters") say(broker.counters);
    if (command === "told") say(told);
    if (command !== "stop") continue;
    await broker.close(2000);
    say({ stopped: true });
    // Without process.exit: a closed broker must not keep the process alive.
    break;
  }
}
