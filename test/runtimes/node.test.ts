/** The transports of Node's adapter, on every version of Node. */
import { transportSuite } from "../adapters/suite.ts";
import { describeOn, runtimes, spawnBroker } from "../support/runtimes.ts";

const own = `Node ${process.versions.node.split(".")[0]}`;
/** test/adapters/node.test.ts covers the version that runs the tests. */
const others = Object.keys(runtimes).filter((name) => name.startsWith("Node ") && name !== own);

describeOn(others, (name) => {
  transportSuite({ start: (limits = {}) => spawnBroker(name, { limits }) });
});
