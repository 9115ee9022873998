// The command in a process where SIGUSR2 causes an uncaught exception. Bytes of a client with the word CRASH cause one too, in the core.
import process from "node:process";
import { Broker } from "../../dist/core/mod.js";

process.on("SIGUSR2", () => {
  throw new Error("thrown on request");
});
const { handleBytes } = Broker.prototype;
Broker.prototype.handleBytes = function (conn, chunk, now) {
  const readsOn = handleBytes.call(this, conn, chunk, now);
  if (new TextDecoder("latin1").decode(chunk).includes("CRASH"))
    throw new Error("thrown in a turn");
  return readsOn;
};
await import("../../dist/adapters/cli/main.js");
