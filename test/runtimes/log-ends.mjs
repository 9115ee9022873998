// A process that logs and ends in the same turn: `<runtime> log-ends.mjs throw|reject|exit`.
import process from "node:process";
import { setImmediate } from "node:timers";
import { createLog } from "../../dist/adapters/cli/log.js";

const log = createLog("info");
let isTold = false;
log.beforeEnd(() => {
  if (!isTold) log.info("told at the end");
  isTold = true;
});
setImmediate(() => {
  for (let n = 1; n <= 2000; n++) log.info("a line", { n });
  const [, , manner] = process.argv;
  if (manner === "exit") process.exit(3);
  if (manner === "throw") throw new Error("on request");
  Promise.reject(new Error("on request"));
});
